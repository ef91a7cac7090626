/** The prompts of a world: a tree of prefixes, so that prompts share roots. Every prompt is the path to one of its leaves. */
import type { MarkerOrigin } from '../../cluster-agent/ledger/prefix-ledger.ts'
import type { Dice } from './dice.ts'

export const MODEL = 'sim-model'
const ROOTS = 4
const CHILDREN = 2
const DEPTH = 3
const MARKER_BYTES = 256

/** One PrefixKey, and the prompt through which it is known. */
export interface Prefix {
  readonly lo: number
  readonly hi: number
  readonly origin: MarkerOrigin
}

export interface Prompts {
  readonly prefixes: readonly Prefix[]
  /** Markers of each whole prompt, as a lookup asks for them. */
  readonly prompts: readonly Uint32Array[]
}

export function growPrompts(dice: Dice): Prompts {
  const prefixes: Prefix[] = []
  const prompts: Uint32Array[] = []
  const grow = (path: readonly number[], depth: number): Uint32Array => {
    const own = [...path, depth * MARKER_BYTES, dice.word(), dice.word()]
    const children = depth === DEPTH ? 0 : CHILDREN
    const paths = Array.from({ length: children }, () => grow(own, depth + 1))
    const through = paths[0] ?? Uint32Array.from(own)
    if (children === 0) prompts.push(through)
    const [lo = 0, hi = 0] = own.slice(-2)
    prefixes.push({ lo, hi, origin: { model: MODEL, markers: through, offsetBytes: depth * MARKER_BYTES } })
    return through
  }
  for (let root = 0; root < ROOTS; root++) grow([], 1)
  return { prefixes, prompts }
}

/** A key that no prompt has: it only fills the map. */
export function fillerPrefix(dice: Dice): Prefix {
  const [lo, hi] = [dice.word(), dice.word()]
  const markers = Uint32Array.from([MARKER_BYTES, lo, hi])
  return { lo, hi, origin: { model: MODEL, markers, offsetBytes: MARKER_BYTES } }
}
