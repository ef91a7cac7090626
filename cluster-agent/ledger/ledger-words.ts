/**
 * A ledger as words, to be kept over a restart: markers, and of each the blocks that no marker before it has. Blocks are named
 * by their keys, so that they are the same blocks when engines announce them anew. Holds no text and no token.
 *
 *     markers, 5 words each: PrefixKey low, high, tokens, own blocks, block (number + 1; 0 is none)
 *     blocks, 3 words each:  parent (number + 1; 0 is none), key low, high
 */
import type { BlockIndex } from '../blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../blocks/block-table.ts'
import type { LedgerEntry, PrefixLedger } from './prefix-ledger.ts'

const MARKER_WORDS = 5
const BLOCK_WORDS = 3

export interface LedgerWords {
  readonly markers: Uint32Array
  readonly blocks: Uint32Array
}

/** Markers and blocks that are kept at most, the last used ones: 4 MB and 12 MB. */
export const MARKERS_KEPT_MAX = 200_000
export const BLOCKS_KEPT_MAX = 1_000_000
/** Markers that are written before others get their turn. */
const SLICE_MARKERS = 2000

/** Whoever steps through it lets others work between steps; the ledger may change meanwhile. */
export function* ledgerWords(
  index: BlockIndex,
  ledger: PrefixLedger,
  blocksMax = BLOCKS_KEPT_MAX,
): Generator<void, LedgerWords> {
  const { table } = index
  const entries = [...ledger.entries()].slice(-MARKERS_KEPT_MAX)
  for (const { block } of entries) if (block !== NO_BLOCK) table.retain(block)
  const numbers = new Map<Block, number>()
  const markers: number[] = []
  const blocks: number[] = []
  /** Blocks behind the last numbered one, the deepest first. */
  const open: Block[] = []
  try {
    for (const [i, { lo, hi, tokens, block }] of entries.entries()) {
      if (i % SLICE_MARKERS === SLICE_MARKERS - 1) yield
      open.length = 0
      for (let at = block; at !== NO_BLOCK && !numbers.has(at); at = table.parent(at)) open.push(at)
      if (numbers.size + open.length > blocksMax) continue
      const own = open.length
      for (let at = open.pop(); at !== undefined; at = open.pop()) {
        const parent = table.parent(at)
        blocks.push(parent === NO_BLOCK ? 0 : (numbers.get(parent) ?? 0) + 1, table.lo(at), table.hi(at))
        numbers.set(at, numbers.size)
      }
      markers.push(lo, hi, tokens, own, block === NO_BLOCK ? 0 : (numbers.get(block) ?? 0) + 1)
    }
  } finally {
    for (const { block } of entries) if (block !== NO_BLOCK) table.release(block)
  }
  return { markers: Uint32Array.from(markers), blocks: Uint32Array.from(blocks) }
}

/** Enters them into an empty ledger. How many markers were entered; words that contradict themselves enter none. */
export function restoreLedger(index: BlockIndex, ledger: PrefixLedger, words: LedgerWords): number {
  if (!isConsistent(words)) return 0
  const { table } = index
  const { markers, blocks } = words
  const numbered: Block[] = []
  let restored = 0
  for (let at = 0; at < markers.length; at += MARKER_WORDS) {
    const own = markers[at + 3] ?? 0
    for (let n = 0; n < own; n++) {
      const from = numbered.length * BLOCK_WORDS
      const parent = blocks[from] ?? 0
      const behind = parent === 0 ? NO_BLOCK : (numbered[parent - 1] ?? NO_BLOCK)
      // Signed, as the table has its keys.
      const lo = (blocks[from + 1] ?? 0) | 0
      const hi = (blocks[from + 2] ?? 0) | 0
      const isLost = parent !== 0 && behind === NO_BLOCK
      numbered.push(isLost ? NO_BLOCK : table.internKey(behind, lo, hi))
    }
    const number = markers[at + 4] ?? 0
    const block = number === 0 ? NO_BLOCK : (numbered[number - 1] ?? NO_BLOCK)
    // The table is full: what it could not take is not known.
    if (number !== 0 && block === NO_BLOCK) continue
    ledger.learn({ ...keyAt(markers, at), tokens: markers[at + 2] ?? 0, block })
    restored++
  }
  return restored
}

function keyAt(markers: Uint32Array, at: number): Pick<LedgerEntry, 'lo' | 'hi'> {
  return { lo: markers[at] ?? 0, hi: markers[at + 1] ?? 0 }
}

/** Every block comes before its children and its markers, and all of them are some marker's own. */
function isConsistent({ markers, blocks }: LedgerWords): boolean {
  if (markers.length % MARKER_WORDS !== 0 || blocks.length % BLOCK_WORDS !== 0) return false
  let known = 0
  for (let at = 0; at < markers.length; at += MARKER_WORDS) {
    const own = markers[at + 3] ?? 0
    if (own > blocks.length / BLOCK_WORDS - known) return false
    for (let n = 0; n < own; n++, known++) if ((blocks[known * BLOCK_WORDS] ?? 0) > known) return false
    if ((markers[at + 4] ?? 0) > known) return false
  }
  return known === blocks.length / BLOCK_WORDS
}
