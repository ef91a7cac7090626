/**
 * Hybrid attention: a model keeps several groups of KV blocks, and a prefix is a hit only as far as every group allows. The
 * first dense group is what the index follows; the others only gate its match. Their hashes are those of the dense group
 * at the same place, so their blocks are found through it; those that it does not know wait unresolved.
 */
import { BlockBits } from './block-bits.ts'

/** Attention whose blocks form a whole prefix. */
const DENSE_KINDS = new Set(['full_attention', 'mla_attention', 'sink_full_attention'])
/** Attention that looks back a number of tokens only. */
const WINDOW_KINDS = new Set(['sliding_window', 'sliding_window_mla', 'chunked_local_attention'])
const STATE_KIND = 'mamba'

/** Groups of one endpoint that gate; more are not looked at, and the match is an upper bound. */
export const GATES_MAX = 8

export type GateKind = 'whole' | 'window' | 'state'

/** How a store's group takes part: as the indexed one, as a gate, or not at all. */
export function gateKindOf(groupKind: string): GateKind | null {
  if (DENSE_KINDS.has(groupKind)) return 'whole'
  if (WINDOW_KINDS.has(groupKind)) return 'window'
  return groupKind === STATE_KIND ? 'state' : null
}

/** An engine that does not say is one from before hybrid models. */
export function isDense(groupKind: string | null): boolean {
  return groupKind === null || DENSE_KINDS.has(groupKind)
}

export interface Gate {
  readonly endpoint: number
  readonly group: number
  readonly kind: GateKind
  /** Where the group's hashes are entered. */
  readonly lane: number
  readonly bits: BlockBits
  blockTokens: number
  windowTokens: number
}

/** How many blocks of the first `depth` of `chain` every gate lets pass; `blockTokens` is the size of those. */
export function gatedDepth(
  chain: Int32Array,
  depth: number,
  gates: readonly Gate[],
  blockTokens: number,
): number {
  // What one gate cuts off may move another's window, so they take turns until nobody cuts.
  for (let passed = depth; ;) {
    const before = passed
    for (const gate of gates) passed = passThrough(chain, passed, gate, blockTokens)
    if (passed === before) return passed
  }
}

function passThrough(chain: Int32Array, depth: number, gate: Gate, blockTokens: number): number {
  if (gate.kind === 'whole') return firstMissing(chain, depth, gate)
  // A block of the group may hold several of the dense one's: only its last has its hash.
  const stride = Math.max(Math.round(gate.blockTokens / Math.max(blockTokens, 1)), 1)
  // vLLM's own rule: the token to come counts into the window (`SlidingWindowManager`).
  const looksBack = Math.ceil((gate.windowTokens - 1) / Math.max(gate.blockTokens, 1))
  const window = gate.kind === 'state' ? 1 : Math.max(looksBack, 1)
  let end = depth - (depth % stride)
  let found = 0
  for (let at = end; at > 0 && found < window; at -= stride) {
    if (gate.bits.has(chain[at - 1] as number)) found++
    else {
      end = at - stride
      found = 0
    }
  }
  return end
}

function firstMissing(chain: Int32Array, depth: number, gate: Gate): number {
  for (let at = 0; at < depth; at++) if (!gate.bits.has(chain[at] as number)) return at
  return depth
}
