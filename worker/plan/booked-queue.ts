/**
 * What recent bookings add to the queues of a cluster: each goes where prefill is cheapest then, as the agent sends it, so the
 * first of a burst fill the idle endpoints and wait for nobody. Endpoints that decode take some, too, at the price of
 * what they make others wait.
 */
import { disturbanceMs } from '../../core/cost-model.ts'
import type { DecoderLoad, ModelLoad } from '../../protocol/report.ts'

/** Milliseconds that bookings add. */
export interface BookedQueues {
  /** To the shortest queue of the endpoints made for prefill. */
  readonly prefillMs: number
  /** To each endpoint that decodes, in the order of the load's `decoders`. */
  readonly decodersMs: readonly number[]
}

type Queues = Pick<ModelLoad, 'backlogMs' | 'otherBacklogsMs' | 'decoders' | 'handoffMs' | 'endpoints'>

export const NOTHING_BOOKED: BookedQueues = { prefillMs: 0, decodersMs: [] }

/** `bookingsMs` are works in the order in which they were made. Without a load one queue takes them all. */
export function bookedQueues(bookingsMs: readonly number[], load: Queues | null): BookedQueues {
  if (bookingsMs.length === 0) return NOTHING_BOOKED
  const prefills = prefillQueues(load)
  const decoders = load?.decoders ?? []
  const [onlyMs] = prefills
  // Nothing is to be chosen: the same sum in the same order.
  if (prefills.length === 1 && decoders.length === 0 && onlyMs !== undefined) {
    let sumMs = onlyMs
    for (const bookingMs of bookingsMs) sumMs += bookingMs
    return { prefillMs: sumMs - onlyMs, decodersMs: [] }
  }
  const beforeMs = Math.min(...prefills)
  const decodersMs = decoders.map(() => 0)
  for (const bookingMs of bookingsMs) {
    const shortest = prefills.indexOf(Math.min(...prefills))
    const decoder = cheapestDecoder(decoders, decodersMs, bookingMs)
    if (decoder.costMs < (prefills[shortest] ?? 0) + (load?.handoffMs ?? 0))
      decodersMs[decoder.at] = (decodersMs[decoder.at] ?? 0) + bookingMs
    else prefills[shortest] = (prefills[shortest] ?? 0) + bookingMs
  }
  return { prefillMs: Math.min(...prefills) - beforeMs, decodersMs }
}

/** The queues of endpoints made for prefill; where only the shortest is known the others are taken to be like it. */
function prefillQueues(load: Queues | null): number[] {
  if (load === null) return [0]
  const { backlogMs, otherBacklogsMs, endpoints } = load
  return [
    backlogMs,
    ...(otherBacklogsMs ?? Array.from({ length: Math.max(endpoints - 1, 0) }, () => backlogMs)),
  ]
}

function cheapestDecoder(
  decoders: readonly DecoderLoad[],
  bookedMs: readonly number[],
  workMs: number,
): { readonly at: number; readonly costMs: number } {
  let at = -1
  let costMs = Infinity
  for (const [index, decoder] of decoders.entries()) {
    const cost = decoder.backlogMs + (bookedMs[index] ?? 0) + disturbanceMs(decoder, workMs)
    if (cost >= costMs) continue
    at = index
    costMs = cost
  }
  return { at, costMs }
}
