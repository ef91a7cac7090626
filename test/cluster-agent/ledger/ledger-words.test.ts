import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { NO_BLOCK } from '../../../cluster-agent/blocks/block-table.ts'
import { ledgerWords, restoreLedger, type LedgerWords } from '../../../cluster-agent/ledger/ledger-words.ts'
import { PrefixLedger } from '../../../cluster-agent/ledger/prefix-ledger.ts'
import { enterPrompt } from '../../../cluster-agent/prompt/chain-marks.ts'

const BLOCK_TOKENS = 4

function open() {
  const index = new BlockIndex('m', 2)
  index.assumeBlockTokens(BLOCK_TOKENS)
  return { index, ledger: new PrefixLedger(index, 2) }
}
type Opened = ReturnType<typeof open>

function wordsOf({ index, ledger }: Opened, blocksMax?: number): LedgerWords {
  const steps = ledgerWords(index, ledger, blocksMax)
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}

/** Everything that matters of a ledger: keys, tokens, and the keys of the chain under each. */
function contents({ index, ledger }: Opened) {
  return [...ledger.entries()].map(({ lo, hi, tokens, block }) => ({
    lo,
    hi,
    tokens,
    chain: [...index.table.chain(block)].map((at) => `${index.table.lo(at)} ${index.table.hi(at)}`),
  }))
}

/** Prompts over few tokens, so that they share prefixes. */
const prompt = fc.array(fc.nat(2), { minLength: 0, maxLength: 40 })

function learn(opened: Opened, tokens: number[], seed: number): void {
  const certainTokens = [tokens.length >> 1, tokens.length]
  const markers = Uint32Array.from([1, seed * 2, 7, 2, seed * 2 + 1, 7])
  enterPrompt(opened.index, opened.ledger, { lora: null, salt: 's', tokens, markers, certainTokens })
}

test('what is restored is what was written', () => {
  fc.assert(
    fc.property(fc.array(prompt, { maxLength: 20, size: 'max' }), (prompts) => {
      const before = open()
      for (const [i, tokens] of prompts.entries()) learn(before, tokens, i)
      const words = wordsOf(before)
      const after = open()
      expect(restoreLedger(after.index, after.ledger, words)).toBe(before.ledger.size)
      expect(contents(after)).toEqual(contents(before))
      // The same prompt learnt again is the same blocks.
      for (const [i, tokens] of prompts.entries()) learn(after, tokens, i)
      expect(after.index.table.size).toBe(before.index.table.size)
    }),
  )
})

test('over the bound of blocks markers are left out, not cut', () => {
  const before = open()
  for (let i = 0; i < 20; i++)
    learn(
      before,
      Array.from({ length: 40 }, (_, at) => at + i * 100),
      i,
    )
  const after = open()
  restoreLedger(after.index, after.ledger, wordsOf(before, 35))
  const known = new Map(contents(before).map((one) => [one.lo, one]))
  expect(after.ledger.size).toBeGreaterThan(5)
  expect(after.index.table.size).toBeLessThanOrEqual(35)
  for (const one of contents(after)) expect(one).toEqual(known.get(one.lo))
})

test('writing holds nothing afterwards, also when it is given up half-way', () => {
  const opened = open()
  learn(opened, [1, 2, 3, 4, 5, 6, 7, 8], 0)
  const half = ledgerWords(opened.index, opened.ledger)
  half.next()
  half.return?.({ markers: new Uint32Array(), blocks: new Uint32Array() })
  wordsOf(opened)
  while (opened.ledger.size > 0) opened.ledger.shed()
  opened.index.table.sweep()
  expect(opened.index.table.size).toBe(0)
})

test('words that contradict themselves restore nothing, and never throw', () => {
  const before = open()
  for (let i = 0; i < 5; i++)
    learn(
      before,
      Array.from({ length: 16 }, (_, at) => at * i),
      i,
    )
  const good = wordsOf(before)
  const at = fc.record({
    column: fc.constantFrom('markers', 'blocks'),
    at: fc.nat(),
    value: fc.nat(0xffffffff),
  })
  fc.assert(
    fc.property(fc.array(at, { minLength: 1, maxLength: 4 }), fc.nat(20), (changes, cut) => {
      const words = { markers: good.markers.slice(), blocks: good.blocks.slice(0, good.blocks.length - cut) }
      for (const { column, at, value } of changes) {
        const words32 = words[column as keyof LedgerWords]
        words32[at % words32.length] = value
      }
      const after = open()
      const restored = restoreLedger(after.index, after.ledger, words)
      expect(after.ledger.size).toBeLessThanOrEqual(restored)
      for (const { block } of after.ledger.entries())
        if (block !== NO_BLOCK) expect(after.index.table.depth(block)).toBeGreaterThan(0)
    }),
  )
  expect(restoreLedger(open().index, open().ledger, { ...good, markers: good.markers.slice(1) })).toBe(0)
})
