/** Waiting with an end. */

/** Whether `promise` settles, either way, within `waitMs`. It stays the caller's to await. */
export type SettledWithin = (promise: Promise<unknown>, waitMs: number) => Promise<boolean>

export const settledWithin: SettledWithin = (promise, waitMs) =>
  // Written without `Promise.race`, which makes three promises more.
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), waitMs)
    const settle = () => {
      clearTimeout(timer)
      resolve(true)
    }
    promise.then(settle, settle)
  })

/** The longest that a timer is set for at first: most requests are over before, whatever they would wait for. */
const RING_MS_MAX = 250

interface Wait {
  readonly untilMs: number
  readonly giveUp: () => void
}

/**
 * `settledWithin` for all the waits of one request, with one timer between them: setting and clearing one costs a workerd
 * as much as signing an envelope, and a request waits four times. The timer ends with its request.
 */
export function oneTimer(): SettledWithin {
  const waits = new Set<Wait>()
  let ringsMs = Infinity
  const arm = (atMs: number, nowMs: number): void => {
    if (atMs >= ringsMs) return
    ringsMs = atMs
    setTimeout(() => ring(atMs), atMs - nowMs)
  }
  const ring = (atMs: number): void => {
    if (atMs !== ringsMs) return
    ringsMs = Infinity
    const nowMs = Date.now()
    for (const wait of waits) {
      // A clock may stand still while a timer runs.
      if (wait.untilMs > Math.max(nowMs, atMs)) continue
      waits.delete(wait)
      wait.giveUp()
    }
    if (waits.size > 0) arm(Math.min(...[...waits].map(({ untilMs }) => untilMs)), nowMs)
  }
  return (promise, waitMs) =>
    new Promise((resolve) => {
      const nowMs = Date.now()
      const wait = { untilMs: nowMs + waitMs, giveUp: () => resolve(false) }
      waits.add(wait)
      // A request that is not over by then may take long: the next ring is exact.
      if (ringsMs === Infinity) arm(Math.min(wait.untilMs, nowMs + RING_MS_MAX), nowMs)
      else arm(wait.untilMs, nowMs)
      const settle = () => {
        waits.delete(wait)
        resolve(true)
      }
      promise.then(settle, settle)
    })
}
