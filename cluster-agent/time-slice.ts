/** Long work in slices: requests are served between two of them. */
import { setImmediate as yieldToRequests } from 'node:timers/promises'

const SLICE_MS = 2

export class TimeSlice {
  #startMs = performance.now()

  async yieldIfDue(): Promise<void> {
    if (performance.now() - this.#startMs < SLICE_MS) return
    await yieldToRequests()
    this.#startMs = performance.now()
  }
}
