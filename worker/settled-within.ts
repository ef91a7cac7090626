/** Waiting with an end. */

/** Whether `promise` settles, either way, within `waitMs`. It stays the caller's to await. */
export function settledWithin(promise: Promise<unknown>, waitMs: number): Promise<boolean> {
  // Written without `Promise.race`: each request waits four times, and a race makes three promises more.
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), waitMs)
    const settle = () => {
      clearTimeout(timer)
      resolve(true)
    }
    promise.then(settle, settle)
  })
}
