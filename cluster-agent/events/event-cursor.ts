/**
 * Where a subscription stands in one engine's event stream. The stream carries no mark of the engine's life: a number
 * that goes back means another engine process, whose cache is empty.
 */
export type EventVerdict =
  | { readonly kind: 'apply' }
  | { readonly kind: 'duplicate' }
  /** Messages from `fromSeq` on are missing: replay them. */
  | { readonly kind: 'gap'; readonly fromSeq: number }
  /** Another engine process: forget what was known and start from 0. */
  | { readonly kind: 'restarted' }

const APPLY: EventVerdict = { kind: 'apply' }
const DUPLICATE: EventVerdict = { kind: 'duplicate' }
const RESTARTED: EventVerdict = { kind: 'restarted' }

/** How far back a number may lie and still be a late copy rather than a new process. */
export const LATE_COPIES_MAX = 16

/** `nextSeq` is the number that comes next. */
export function judgeEvent(nextSeq: number, seq: number): EventVerdict {
  if (seq === nextSeq) return APPLY
  if (seq > nextSeq) return { kind: 'gap', fromSeq: nextSeq }
  return seq === 0 || nextSeq - seq > LATE_COPIES_MAX ? RESTARTED : DUPLICATE
}
