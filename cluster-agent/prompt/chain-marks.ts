/** A tokenised prompt entered into the index and the ledger: its block chain, and what lies under each marker. */
import type { BlockIndex } from '../blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../blocks/block-table.ts'
import type { PrefixLedger } from '../ledger/prefix-ledger.ts'

export interface LearntPrompt {
  readonly lora: string | null
  readonly salt: string | null
  readonly tokens: readonly number[]
  /** u32 triples as in core/prefix-markers.ts. */
  readonly markers: Uint32Array
  /** For each marker: tokens that are certain up to it. */
  readonly certainTokens: readonly number[]
}

/** Nothing is learnt before the first KV event has told the block size. */
export function enterPrompt(index: BlockIndex, ledger: PrefixLedger, prompt: LearntPrompt): boolean {
  const { blockTokens } = index
  if (blockTokens === 0) return false
  const { table } = index
  const chain: Block[] = []
  const whole = Math.floor(prompt.tokens.length / blockTokens)
  for (let i = 0; i < whole; i++) {
    // The salt enters the chain with its first block only, as in the engine.
    const root = index.root(prompt.lora, i === 0 ? prompt.salt : null)
    const tokens = prompt.tokens.slice(i * blockTokens, (i + 1) * blockTokens)
    chain.push(table.intern(root, chain[i - 1] ?? NO_BLOCK, tokens, null))
  }
  const last = chain.at(-1)
  // The chain is held while the markers take their own holds.
  if (last !== undefined) table.retain(last)
  for (const [i, tokens] of prompt.certainTokens.entries()) {
    ledger.learn({
      lo: prompt.markers[i * 3 + 1] ?? 0,
      hi: prompt.markers[i * 3 + 2] ?? 0,
      tokens,
      block: chain[Math.floor(tokens / blockTokens) - 1] ?? NO_BLOCK,
    })
  }
  if (last !== undefined) table.release(last)
  return true
}
