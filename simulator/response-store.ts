/** What one engine keeps of the Responses API, by id, as vLLM does in the memory of its server process. */
import type { BackgroundRun } from './background-run.ts'

/** vLLM keeps all of it for ever; a simulation that runs for days must not. */
const RESPONSES_MAX = 4096

export interface StoredResponse {
  /** The conversation with its answer, as chat messages. */
  readonly messages: readonly unknown[]
  /** The response as it is read. */
  readonly body: { readonly status: string }
  /** What makes it in the background, or made it; null: it was made while a client waited. */
  readonly run: BackgroundRun | null
  /** Whether its events are kept. */
  readonly hasEvents: boolean
}

export class ResponseStore {
  private readonly kept = new Map<string, StoredResponse>()

  keep(id: string, response: StoredResponse): void {
    this.kept.set(id, response)
    if (this.kept.size <= RESPONSES_MAX) return
    const oldest = this.kept.keys().next()
    if (!oldest.done) this.kept.delete(oldest.value)
  }

  /** A response that is whole. One that was cancelled stays so. */
  finish(id: string, { messages, body }: Pick<StoredResponse, 'messages' | 'body'>): void {
    const before = this.kept.get(id)
    if (before?.body.status === 'cancelled') return
    this.keep(id, { messages, body, run: before?.run ?? null, hasEvents: before?.hasEvents ?? false })
  }

  setStatus(id: string, status: string): StoredResponse | null {
    const before = this.kept.get(id)
    if (!before) return null
    const after = { ...before, body: { ...before.body, status } }
    this.kept.set(id, after)
    return after
  }

  find(id: string): StoredResponse | null {
    return this.kept.get(id) ?? null
  }
}
