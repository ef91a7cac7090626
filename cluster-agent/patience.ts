/** Ends a request when its caller leaves, or stops waiting before the first byte. */
import type { ServerResponse } from 'node:http'
import type { GenerateRequest } from './generate-request.ts'

export class Patience {
  readonly #timer: NodeJS.Timeout | null
  isOver = false

  constructor({ abort, caller, startMs }: GenerateRequest, res: ServerResponse) {
    const { patienceMs } = caller
    const end = () => {
      if (res.headersSent || res.destroyed) return
      this.isOver = true
      abort()
    }
    const leftMs = (patienceMs ?? 0) - (performance.now() - startMs)
    this.#timer = patienceMs === null ? null : setTimeout(end, Math.max(leftMs, 0))
  }

  end(): void {
    if (this.#timer) clearTimeout(this.#timer)
  }
}
