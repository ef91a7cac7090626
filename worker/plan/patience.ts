/** How long a silent cluster is waited for before the next of the plan is tried. */
import type { EdgeConfig } from '../../protocol/edge-config.ts'
import type { TtftTerms } from '../../protocol/receipt.ts'

/** What one token of an answer may take when the answer comes whole. */
const OUTPUT_TOKEN_MS = 50

/**
 * Milliseconds. An agent may rather wait than disturb others, up to the price, so the price is what is waited for: who leaves
 * a queue before its turn begins anew at the end of another. Headers of an answer that comes whole follow its last token,
 * `wholeTokens` of them; 0 for a stream.
 */
export function patienceMs(
  { totalMs }: TtftTerms,
  { stallFloorMs, stallFactor }: Pick<EdgeConfig, 'stallFloorMs' | 'stallFactor'>,
  wholeTokens: number,
): number {
  return Math.max(stallFloorMs, stallFactor * totalMs) + wholeTokens * OUTPUT_TOKEN_MS
}
