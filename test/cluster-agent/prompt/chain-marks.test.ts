import { expect, test, vi } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { PrefixLedger } from '../../../cluster-agent/ledger/prefix-ledger.ts'
import { enterPrompt, type LearntPrompt } from '../../../cluster-agent/prompt/chain-marks.ts'

const BLOCK_TOKENS = 16
/** A marker each 50 tokens, of which the ones before `sharedTokens` have the keys of every prompt. */
function prompt(tokens: number, sharedTokens = tokens, name = 1): LearntPrompt {
  const ends = Array.from({ length: Math.floor(tokens / 50) }, (_, i) => (i + 1) * 50)
  return {
    lora: null,
    salt: 's',
    tokens: Uint32Array.from({ length: tokens }, (_, i) => (i < sharedTokens ? i : i * 7 + name)),
    markers: Uint32Array.from(ends.flatMap((end) => [end * 4, end, end <= sharedTokens ? 0 : name])),
    certainTokens: Uint32Array.from(ends),
  }
}

function setup() {
  const index = new BlockIndex('m', 1)
  index.assumeBlockTokens(BLOCK_TOKENS)
  const ledger = new PrefixLedger(index, 1)
  const learn = (one: LearntPrompt) => enterPrompt(index, ledger, one)
  const chainOf = (end: number, name = 0) =>
    [...index.table.chain(ledger.find(end, name)?.block ?? -1)].map((at) => [
      index.table.lo(at),
      index.table.hi(at),
    ])
  return { index, learn, chainOf }
}

test('a prompt that another one begins is entered from there on, as if it were the first', () => {
  const [grown, alone] = [setup(), setup()]
  const longer = prompt(1700, 1600)
  grown.learn(prompt(1600))
  const interned = vi.spyOn(grown.index.table, 'internNext')
  grown.learn(longer)
  expect(interned.mock.calls.length).toBeLessThan(20)
  alone.learn(longer)
  for (const end of [50, 1600]) expect(grown.chainOf(end)).toEqual(alone.chainOf(end))
  expect(grown.chainOf(1700, 1)).toEqual(alone.chainOf(1700, 1))
  expect(grown.chainOf(1700, 1)).toHaveLength(Math.floor(1700 / BLOCK_TOKENS))
  grown.index.table.sweep()
  expect(grown.index.table.size).toBe(Math.floor(1700 / BLOCK_TOKENS))
})

test('tokens of other files are entered anew under the same keys', () => {
  const [changed, alone] = [setup(), setup()]
  changed.learn(prompt(1600))
  const other = { ...prompt(1600), tokens: Uint32Array.from({ length: 1600 }, (_, i) => 9000 + i) }
  changed.learn(other)
  alone.learn(other)
  expect(changed.chainOf(1600)).toEqual(alone.chainOf(1600))
  changed.index.table.sweep()
  expect(changed.index.table.size).toBe(1600 / BLOCK_TOKENS)
})
