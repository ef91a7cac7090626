/**
 * What recent bookings add to the shortest queue of a cluster. Its endpoints are taken to stand alike and each booking to
 * go to the shortest queue, as the agent sends it: the first few of a burst wait for nobody.
 */

/** The cluster's own endpoints are counted up to here; more make no difference to a burst. */
const ENDPOINTS_MAX = 64

/** Milliseconds that the next request waits behind `bookingsMs`, in the order in which they were made. */
export function bookedQueueMs(bookingsMs: readonly number[], endpoints: number): number {
  const count = Math.min(Math.max(Math.floor(endpoints), 1), ENDPOINTS_MAX)
  if (bookingsMs.length < count) return 0
  const queues = Array.from({ length: count }, () => 0)
  for (const bookingMs of bookingsMs) {
    const shortest = queues.indexOf(Math.min(...queues))
    queues[shortest] = (queues[shortest] ?? 0) + bookingMs
  }
  return Math.min(...queues)
}
