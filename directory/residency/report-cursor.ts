/**
 * Whether a frame of a report stream is the next one. A WebSocket neither loses nor reorders, yet an agent that drops
 * from its own queue or a proxy that replays does; the cursor turns any of it into one of three verdicts.
 */

/** Where a stream stands: its epoch and the sequence number of the last frame applied, 0 before the first. */
export interface ReportCursor {
  readonly epoch: number
  readonly seq: number
}

export interface ReportHeader {
  readonly epoch: number
  readonly seq: number
}

export type Verdict =
  | { readonly kind: 'apply' }
  /** Already applied: to be ignored. */
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'resync'; readonly reason: 'epoch-mismatch' | 'sequence-gap' }

const APPLY: Verdict = { kind: 'apply' }
const DUPLICATE: Verdict = { kind: 'duplicate' }

/** The verdict on a frame with `header`, given that everything up to `cursor` is applied. */
export function judgeReport(cursor: ReportCursor, header: ReportHeader): Verdict {
  if (header.epoch !== cursor.epoch) return { kind: 'resync', reason: 'epoch-mismatch' }
  if (header.seq <= cursor.seq) return DUPLICATE
  return header.seq === cursor.seq + 1 ? APPLY : { kind: 'resync', reason: 'sequence-gap' }
}
