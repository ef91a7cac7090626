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
  // A booking does not say its bytes: its hand-off is taken to be like others.
  const handoffMs = load?.handoffMs ?? 0
  for (const bookingMs of bookingsMs) {
    const shortest = shortestOf(prefills)
    const queueMs = prefills[shortest] as number
    const decoder = cheapestDecoder(decoders, decodersMs, bookingMs, queueMs + handoffMs)
    if (decoder === -1) prefills[shortest] = queueMs + bookingMs
    else decodersMs[decoder] = (decodersMs[decoder] as number) + bookingMs
  }
  return { prefillMs: Math.min(...prefills) - beforeMs, decodersMs }
}

/**
 * The place of the endpoint that decodes and takes a prefill of `workMs` for the least, by its queue, what is booked there and
 * what it makes others wait; -1 where none takes it for less than `thanMs`.
 */
export function cheapestDecoder(
  decoders: readonly DecoderLoad[],
  bookedMs: readonly number[],
  workMs: number,
  thanMs: number,
): number {
  let cheapest = -1
  let leastMs = thanMs
  for (let at = 0; at < decoders.length; at++) {
    const decoder = decoders[at] as DecoderLoad
    const costMs = decoder.backlogMs + (bookedMs[at] ?? 0) + disturbanceMs(decoder, workMs)
    if (costMs >= leastMs) continue
    cheapest = at
    leastMs = costMs
  }
  return cheapest
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

function shortestOf(queuesMs: readonly number[]): number {
  let shortest = 0
  for (let at = 1; at < queuesMs.length; at++)
    if ((queuesMs[at] as number) < (queuesMs[shortest] as number)) shortest = at
  return shortest
}
