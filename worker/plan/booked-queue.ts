/**
 * What recent bookings add to the shortest queue of a cluster: each goes to the queue that is shortest then, as the agent
 * sends it, so the first of a burst fill the idle endpoints and wait for nobody.
 */

/** Milliseconds that `bookingsMs`, in the order in which they were made, add to the least of `queuesMs`. */
export function bookedQueueMs(bookingsMs: readonly number[], queuesMs: readonly number[]): number {
  const [onlyMs] = queuesMs
  // Nothing is to be chosen: the same sum in the same order.
  if (queuesMs.length === 1 && onlyMs !== undefined) {
    let sumMs = onlyMs
    for (const bookingMs of bookingsMs) sumMs += bookingMs
    return sumMs - onlyMs
  }
  const queues = [...queuesMs]
  const beforeMs = Math.min(...queues)
  if (!Number.isFinite(beforeMs)) return 0
  for (const bookingMs of bookingsMs) {
    const shortest = queues.indexOf(Math.min(...queues))
    queues[shortest] = (queues[shortest] ?? 0) + bookingMs
  }
  return Math.min(...queues) - beforeMs
}
