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
/** Of blocks that are taken as known. */
const COMPARED_EVERY_BLOCKS = 32

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
  const chain = knownChain(index, ledger, prompt)
  const whole = Math.floor(prompt.tokens.length / blockTokens)
  /** The end of what is entered, held so that the chain stays while others work and the markers take their own holds. */
  let held = NO_BLOCK
  const hold = (block: Block) => {
    if (block !== NO_BLOCK) table.retain(block)
    if (held !== NO_BLOCK) table.release(held)
    held = block
  }
  hold(chain.at(-1) ?? NO_BLOCK)
  for (let i = chain.length; i < whole; i++) {
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

/**
 * The blocks under the deepest marker that is known with as many tokens: the ledger's word is that they are common to all
 * prompts with that key, so what was entered for another one, or for a shorter one, is not entered again. Some are compared:
 * tokens of other files or another template differ everywhere.
 */
function knownChain(index: BlockIndex, ledger: PrefixLedger, prompt: LearntPrompt): Block[] {
  const { blockTokens, table } = index
  const { markers, certainTokens, tokens } = prompt
  for (let i = certainTokens.length - 1; i >= 0; i--) {
    const known = ledger.find(markers[i * 3 + 1] ?? 0, markers[i * 3 + 2] ?? 0)
    if (!known || known.block === NO_BLOCK || known.tokens !== certainTokens[i]) continue
    const chain = table.chain(known.block)
    // Of another block size, or cut short by a full table.
    if (chain.length !== Math.floor(known.tokens / blockTokens)) return []
    for (let at = 0; at < chain.length; at = nextCompared(at, chain.length)) {
      if (at === 0) table.startChain(index.root(prompt.lora, prompt.salt))
      const from = at * blockTokens
      const block = table.internNext(chain[at - 1] ?? NO_BLOCK, tokens, from, from + blockTokens, null)
      if (block !== chain[at]) return []
    }
    return [...chain]
  }
  return []
}

/** The first block, some, and the last. */
function nextCompared(at: number, blocks: number): number {
  return at === blocks - 1 ? blocks : Math.min(at + COMPARED_EVERY_BLOCKS, blocks - 1)
}
