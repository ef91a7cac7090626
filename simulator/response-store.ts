/** What one engine keeps of the Responses API, by id, as vLLM does in the memory of its server process. */
import type { KeptResponse } from './wire/other-request.ts'

/** vLLM keeps all of it for ever; a simulation that runs for days must not. */
const RESPONSES_MAX = 4096

export class ResponseStore {
  private readonly kept = new Map<string, KeptResponse>()

  keep(id: string, response: KeptResponse): void {
    this.kept.set(id, response)
    if (this.kept.size <= RESPONSES_MAX) return
    const oldest = this.kept.keys().next()
    if (!oldest.done) this.kept.delete(oldest.value)
  }

  find(id: string): KeptResponse | null {
    return this.kept.get(id) ?? null
  }
}
