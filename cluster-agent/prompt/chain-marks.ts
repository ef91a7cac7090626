/** A tokenised prompt entered into the index and the ledger: its block chain, and what lies under each marker. */
import type { BlockIndex } from '../blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../blocks/block-table.ts'
import type { PrefixLedger } from '../ledger/prefix-ledger.ts'

export interface LearntPrompt {
  /** As the edge names it. */
  readonly model?: string
  readonly lora: string | null
  readonly salt: string | null
  readonly tokens: ArrayLike<number>
  /** u32 triples as in core/prefix-markers.ts. */
  readonly markers: Uint32Array
  /** For each marker: tokens that are certain up to it. */
  readonly certainTokens: ArrayLike<number>
}

/** Blocks that are entered before others get their turn. */
const SLICE_BLOCKS = 256

/** All at once. Nothing is learnt before the first KV event has told the block size. */
export function enterPrompt(index: BlockIndex, ledger: PrefixLedger, prompt: LearntPrompt): boolean {
  const steps = enterInSlices(index, ledger, prompt)
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}

/** As `enterPrompt`; whoever steps through it may let others work between steps. */
export function* enterInSlices(
  index: BlockIndex,
  ledger: PrefixLedger,
  prompt: LearntPrompt,
): Generator<void, boolean> {
  const { blockTokens, table } = index
  if (blockTokens === 0) return false
  const chain: Block[] = []
  const whole = Math.floor(prompt.tokens.length / blockTokens)
  /** The end of what is entered, held so that the chain stays while others work and the markers take their own holds. */
  let held = NO_BLOCK
  const hold = (block: Block) => {
    if (block !== NO_BLOCK) table.retain(block)
    if (held !== NO_BLOCK) table.release(held)
    held = block
  }
  for (let i = 0; i < whole; i++) {
    // The salt enters the chain with its first block only, as in the engine.
    if (i === 0) table.startChain(index.root(prompt.lora, prompt.salt))
    const from = i * blockTokens
    const block = table.internNext(chain[i - 1] ?? NO_BLOCK, prompt.tokens, from, from + blockTokens, null)
    // The table is full: what is behind is not known.
    if (block === NO_BLOCK) break
    chain.push(block)
    if (i % SLICE_BLOCKS !== SLICE_BLOCKS - 1) continue
    hold(chain[i] ?? NO_BLOCK)
    yield
  }
  hold(chain.at(-1) ?? NO_BLOCK)
  for (let i = 0; i < prompt.certainTokens.length; i++) {
    const tokens = prompt.certainTokens[i] ?? 0
    ledger.learn({
      lo: prompt.markers[i * 3 + 1] ?? 0,
      hi: prompt.markers[i * 3 + 2] ?? 0,
      tokens,
      block: chain[Math.floor(tokens / blockTokens) - 1] ?? NO_BLOCK,
      ...(prompt.model === undefined
        ? {}
        : {
            origin: {
              model: prompt.model,
              markers: prompt.markers,
              offsetBytes: prompt.markers[i * 3] ?? 0,
            },
          }),
    })
  }
  hold(NO_BLOCK)
  return true
}
