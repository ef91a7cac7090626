/** The books of one endpoint: what is booked there, and its sums. */

/** Sequences there that are not the agent's own: of another router, or more than one of a request. */
export interface Foreign {
  readonly waiting: number
  readonly decoding: number
}

const NO_FOREIGN: Foreign = { waiting: 0, decoding: 0 }
/** Weight of one prefill in what a prefill of unknown length is taken to cost. */
export const PREFILL_WEIGHT = 0.05

export interface PrefillBooking {
  readonly ms: number
  readonly tokens: number
  readonly newTokens: number
  readonly isSilent: boolean
  readonly leaseEndMs: number
}

export interface DecodeBooking {
  readonly endpoint: number
  readonly tokens: number
  readonly answerTokens: number
  /** Its prefill is done: it takes part in every step. */
  isDecoding: boolean
  leaseEndMs: number
  /** The lease's end when the booking took its place in the order of leases. */
  placedEndMs: number
}

export class Ledger {
  readonly prefills = new Map<string, PrefillBooking>()
  /** Since when the first prefill is being worked on. */
  headSinceMs = 0
  kvTokens: number
  /** Observed share of booked KV space that is really pinned: sequences share prefixes. */
  pinnedShare = 1
  foreign = NO_FOREIGN
  prefillMs = 0
  backlogMs = 0
  backlogTokens = 0
  tokens = 0
  decodes = 0
  decoding = 0
  contextTokens = 0
  answerTokens = 0

  constructor(kvTokens: number) {
    this.kvTokens = kvTokens
  }
}

/** On average an answer is half there. */
export function countDecode(ledger: Ledger, { tokens, answerTokens }: DecodeBooking, sign: 1 | -1): void {
  ledger.decoding += sign
  ledger.contextTokens += sign * (tokens - answerTokens / 2)
}
