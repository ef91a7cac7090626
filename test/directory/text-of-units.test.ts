import fc from 'fast-check'
import { expect, test } from 'vitest'
import { textOfUnits, unitsOfText } from '../../directory/text-of-units.ts'
import * as pure from '../../protocol/code-units.ts'

test('the platform makes and reads the same strings, lone surrogates and all', () => {
  const out = new pure.UnitWriter()
  fc.assert(
    fc.property(
      fc.array(fc.nat(0xffff), { maxLength: 200 }),
      fc.integer({ min: 1, max: 100 }),
      (some, times) => {
        out.restart()
        // Up to many times what fits at first.
        for (let i = 0; i < times; i++) for (const unit of some) out.u16(unit)
        const text = textOfUnits(out)
        expect(text).toBe(pure.unitsToText(out))
        expect(unitsOfText(text).subarray(0, text.length)).toEqual(
          pure.unitsOfText(text).subarray(0, text.length),
        )
      },
    ),
  )
})
