/** One request that is held before its endpoints are chosen, and the order in which those of one tenant go. */

export interface Waiting {
  readonly id: string
  readonly tenant: string
  /** Of the envelope: higher goes first. */
  readonly priority: number
  /** Predicted GPU milliseconds: what a tenant's share is counted in. */
  readonly workMs: number
  /** KV space that it needs to be admitted by an engine. */
  readonly kvTokens: number
  /** Memory that holding it costs. */
  readonly bytes: number
  readonly arrivedMs: number
  /** When it must have gone. */
  readonly deadlineMs: number
}

/**
 * How long a request lets others of its tenant that arrive after it pass, for each millisecond that it is larger: a request
 * of `w` ms is passed by none that comes more than `SIZE_FACTOR * w` ms after it. Beyond that the oldest has a share of its
 * own (`fair-band.ts`).
 */
export const SIZE_FACTOR = 64

/** What one step of priority is worth within a band, in milliseconds of waiting. */
const PRIORITY_STEP_MS = 100

/** The lower goes first. It does not change while the request waits, so an order once made stays right. */
export function orderMs({ arrivedMs, workMs, priority }: Waiting): number {
  return arrivedMs + SIZE_FACTOR * workMs - PRIORITY_STEP_MS * priority
}

/** Bands, the most urgent first. Within one, tenants share by work. */
export const BANDS = ['urgent', 'usual', 'patient'] as const
export type Band = (typeof BANDS)[number]

export function bandOf(priority: number): Band {
  return priority > 0 ? 'urgent' : priority < 0 ? 'patient' : 'usual'
}
