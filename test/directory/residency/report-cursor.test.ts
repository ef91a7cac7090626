import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeReport } from '../../../directory/residency/report-cursor.ts'

test('each header has one verdict', () => {
  const cursor = { epoch: 5, seq: 3 }
  expect(judgeReport(cursor, { epoch: 5, seq: 4 })).toEqual({ kind: 'apply' })
  expect(judgeReport(cursor, { epoch: 5, seq: 3 })).toEqual({ kind: 'duplicate' })
  expect(judgeReport(cursor, { epoch: 5, seq: 1 })).toEqual({ kind: 'duplicate' })
  expect(judgeReport(cursor, { epoch: 5, seq: 5 })).toEqual({ kind: 'resync', reason: 'sequence-gap' })
  expect(judgeReport(cursor, { epoch: 6, seq: 4 })).toEqual({ kind: 'resync', reason: 'epoch-mismatch' })
})

test('under loss, duplication and reordering, what is applied is a prefix of what was sent, each once', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 60, size: 'max' }), (arrivals) => {
      const applied: number[] = []
      const seen = new Set<number>()
      for (const seq of arrivals) {
        const verdict = judgeReport({ epoch: 1, seq: applied.length }, { epoch: 1, seq })
        // A resync exactly when something before it is missing.
        const isMissing = Array.from({ length: seq - 1 }, (_, i) => i + 1).some((before) => !seen.has(before))
        expect(verdict.kind === 'resync').toBe(isMissing)
        if (verdict.kind === 'resync') break
        expect(verdict.kind).toBe(seen.has(seq) ? 'duplicate' : 'apply')
        seen.add(seq)
        if (verdict.kind === 'apply') applied.push(seq)
      }
      expect(applied).toEqual(applied.map((_, index) => index + 1))
    }),
  )
})
