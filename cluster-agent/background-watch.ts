/**
 * A response that is made in the background is answered before anything of it is computed. It is asked for until it is
 * whole, so that its load stays booked while it runs and its tenant pays what it took, whether or not anybody reads it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { keptPath } from '../protocol/kept-response.ts'
import { readUsage, type Usage } from './answer/usage.ts'
import type { EngineClients } from './engine-clients.ts'
import type { GenerateRequest } from './generate-request.ts'
import { isObject, type JsonObject } from './handoff/json.ts'

/** Beyond it work in the background counts as load only until the engine has taken it. */
const WATCHED_MAX = 4096
/** Ledgers close what they have heard nothing of after 30 minutes (tenancy/limits/holdings.ts). */
const WATCH_MS_MAX = 25 * 60_000
const POLL_MS_MIN = 250
const POLL_MS_MAX = 5000
const POLL_FACTOR = 1.5
const ANSWER_MS_MAX = 5000
/** Questions in a row that an engine may leave unanswered. */
const SILENT_MAX = 3
const UNDER_WAY = new Set<unknown>(['queued', 'in_progress'])

/** The id of what a request makes in the background; null when it makes nothing there, or nothing that can be asked for. */
export function backgroundId({ api, body }: Pick<GenerateRequest, 'api' | 'body'>): string | null {
  const { background, request_id: id } = body.json
  return api === 'responses' && background === true && typeof id === 'string' ? id : null
}

export class BackgroundWatch {
  readonly #clients: EngineClients
  #watched = 0

  constructor(clients: EngineClients) {
    this.#clients = clients
  }

  /**
   * Resolves when the response is not under way any more, with what it took; null: it was cancelled, its engine is gone, or
   * a bound was reached. `onSign` hears that it is. Never rejects.
   */
  async untilDone(
    endpoint: number,
    id: string,
    requestId: string,
    onSign: () => void,
  ): Promise<Usage | null> {
    if (this.#watched >= WATCHED_MAX) return null
    this.#watched++
    try {
      const endMs = performance.now() + WATCH_MS_MAX
      let silent = 0
      for (
        let waitMs = POLL_MS_MIN;
        performance.now() < endMs;
        waitMs = Math.min(waitMs * POLL_FACTOR, POLL_MS_MAX)
      ) {
        await sleep(waitMs, undefined, { ref: false })
        const response = await this.#read(endpoint, id, requestId)
        if (response === 'gone') return null
        silent = response === 'silent' ? silent + 1 : 0
        if (silent >= SILENT_MAX) return null
        if (response === 'silent') continue
        if (!UNDER_WAY.has(response['status'])) return readUsage(response['usage'])
        onSign()
      }
      return null
    } finally {
      this.#watched--
    }
  }

  async #read(endpoint: number, id: string, requestId: string): Promise<JsonObject | 'gone' | 'silent'> {
    const client = this.#clients.find(endpoint)
    if (!client) return 'gone'
    const answer = await client.post({
      method: 'GET',
      path: keptPath({ id, action: 'retrieve' }),
      body: null,
      requestId,
      rank: null,
      traceparent: null,
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      silenceMs: ANSWER_MS_MAX,
    })
    if (answer.kind !== 'answered') return 'silent'
    if (answer.status !== 200) return 'gone'
    try {
      const json: unknown = JSON.parse(answer.body.toString('utf8'))
      return isObject(json) ? json : 'gone'
    } catch {
      return 'gone'
    }
  }
}
