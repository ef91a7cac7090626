/**
 * Responses that the engines keep: reading one, reading its events again, ending one that is being made. Only the engine
 * that keeps it is asked; an agent that does not know which (it is younger than the response) asks them all once.
 */
import type { ServerResponse } from 'node:http'
import { errorBody, errorEvent } from '../protocol/dialect.ts'
import { RouteError } from '../protocol/errors.ts'
import {
  eventsQuery,
  KEPT_METHODS,
  keptPath,
  RESPONSE_ID,
  type EventsAsked,
  type KeptPath,
} from '../protocol/kept-response.ts'
import { AGENT_ROUTE_HEADER } from '../protocol/receipt.ts'
import { PlainReader } from './answer-reader.ts'
import type { Cluster } from './cluster.ts'
import type { EngineCall, JsonAnswer } from './engine-client.ts'
import type { EngineClients } from './engine-clients.ts'
import { isObject } from './handoff/json.ts'
import type { ResponseFollowers } from './response-followers.ts'
import type { ResponseHome, ResponseHomes } from './response-homes.ts'

/** Engines that are asked at the same time whether they keep a response. */
const ENGINES_ASKED_MAX = 16

/** Who asks, and for how long. */
export interface Asker {
  readonly requestId: string
  /** How long the caller goes on waiting for the first byte. */
  readonly patienceMs: number
  /** When the request came in, on the monotonic clock. */
  readonly startMs: number
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal
}

export interface KeptRequest extends KeptPath, EventsAsked, Asker {}

export class KeptResponses {
  readonly #cluster: Cluster
  readonly #clients: EngineClients
  readonly #homes: ResponseHomes
  readonly #followers: ResponseFollowers

  constructor(cluster: Cluster, clients: EngineClients, homes: ResponseHomes, followers: ResponseFollowers) {
    this.#cluster = cluster
    this.#clients = clients
    this.#homes = homes
    this.#followers = followers
  }

  /**
   * Writes the answer to `res`. Throws `response_not_found` when no engine has it, `response_unreachable` when the one that
   * may have it does not answer, `invalid_request` for events that are not kept.
   */
  async answer(request: KeptRequest, res: ServerResponse): Promise<void> {
    const home = this.#homes.of(request.id) ?? (await this.#find(request.id, request))
    if (request.signal.aborted) return
    if (!home) throw notFound()
    if (request.stream) return this.#follow(request, home, res)
    const answer = await this.#ask(request, request, home)
    if (answer.kind === 'aborted') return
    if (request.action === 'cancel' && answer.status < 300) this.#followers.end(request.id)
    res
      .writeHead(answer.status, { 'content-type': 'application/json', ...this.#headers(request, home) })
      .end(answer.body)
  }

  /** Learns where a response is kept that a request continues, if any engine says so. Never rejects. */
  async locate(id: string, asker: Asker): Promise<void> {
    if (RESPONSE_ID.test(id) && !this.#homes.of(id)) await this.#find(id, asker).catch(() => null)
  }

  /** Throws for an answer that is none. */
  async #ask(
    request: KeptRequest,
    path: KeptPath,
    { endpoint }: ResponseHome,
  ): Promise<Exclude<JsonAnswer, { kind: 'failed' }>> {
    const client = this.#clients.find(endpoint)
    if (!client) throw notFound()
    const answer = await client.post(callOf(request, path))
    if (answer.kind === 'failed') throw unreachable()
    if (answer.kind === 'answered' && answer.status === 404) throw notFound()
    return answer
  }

  /** An engine that has the response; null when they all say that they have not. */
  async #find(id: string, asker: Asker): Promise<ResponseHome | null> {
    const path = { id, action: 'retrieve' } as const
    const untold = this.#cluster.endpoints
      .filter(({ role }) => role !== 'prefill')
      .map(({ number }) => number)
    let isSilent = false
    while (untold.length > 0 && !asker.signal.aborted) {
      const asked = untold.splice(0, ENGINES_ASKED_MAX)
      const answers = await Promise.all(
        asked.map(async (endpoint) => ({
          endpoint,
          answer: await this.#clients.find(endpoint)?.post(callOf(asker, path)),
        })),
      )
      const found = answers.find(({ answer }) => answer?.kind === 'answered' && answer.status === 200)
      if (found) {
        const home = { endpoint: found.endpoint, hasEvents: null }
        this.#homes.place(id, home)
        return home
      }
      isSilent ||= answers.some(({ answer }) => answer?.kind === 'failed')
    }
    if (isSilent) throw unreachable()
    return null
  }

  /** Its events, from the first or from where the client left off, to its end. */
  async #follow(request: KeptRequest, home: ResponseHome, res: ServerResponse): Promise<void> {
    const answer = await this.#ask(request, request, home)
    if (answer.kind === 'aborted') return
    if (home.hasEvents === false || !isMadeInBackground(answer.body)) throw noEvents()
    const client = this.#clients.find(home.endpoint)
    if (!client) throw notFound()
    const ending = new AbortController()
    const unfollow = this.#followers.add(request.id, () => ending.abort())
    const signal = AbortSignal.any([request.signal, ending.signal])
    const call = callOf({ ...request, signal }, request)
    const outcome = await client.relay({ ...call, path: `${call.path}${eventsQuery(request)}` }, res, {
      headers: () => this.#headers(request, home),
      onChunk: () => undefined,
      reader: new PlainReader(true, false),
      isStream: true,
    })
    unfollow()
    if (outcome.kind === 'failed') throw unreachable()
    if (outcome.kind === 'broken') {
      const error = new RouteError('upstream_failed', 'The engine ended before the response was complete.')
      res.end(errorEvent('responses', errorBody('responses', error, request.requestId)))
    }
    if (outcome.kind === 'aborted' && ending.signal.aborted) endStream(res)
  }

  #headers({ startMs }: KeptRequest, { endpoint }: ResponseHome): Record<string, string> {
    const name = this.#cluster.registry.endpoint(endpoint)?.name ?? ''
    return { [AGENT_ROUTE_HEADER]: `decode=${name}; agent_ms=${Math.round(performance.now() - startMs)}` }
  }
}

/** Ends the events of a response that was cancelled: they stop, without the event that ends a response. */
export function endStream(res: ServerResponse): void {
  if (res.headersSent) res.end()
  else res.destroy()
}

function callOf({ requestId, signal, patienceMs, startMs }: Asker, path: KeptPath): EngineCall {
  return {
    method: KEPT_METHODS[path.action],
    path: keptPath(path),
    body: null,
    requestId,
    rank: null,
    traceparent: null,
    signal,
    silenceMs: Math.max(0, patienceMs - (performance.now() - startMs)),
  }
}

/** Whether events may be kept of the response, and have an end: those of a cancelled one have none. */
function isMadeInBackground(body: Buffer): boolean {
  try {
    const json: unknown = JSON.parse(body.toString('utf8'))
    if (!isObject(json)) return false
    const { background, status } = json
    return background === true && status !== 'cancelled' && status !== 'failed'
  } catch {
    return false
  }
}

function notFound(): RouteError {
  return new RouteError('response_not_found', 'No response with that id was found.', { param: 'response_id' })
}

function unreachable(): RouteError {
  const message = 'The engine that keeps the response does not answer.'
  return new RouteError('response_unreachable', message, { param: 'response_id' })
}

function noEvents(): RouteError {
  const message =
    'The events of this response are not kept, or have no end: only one that is made with `background` and `stream`, and not cancelled, has them.'
  return new RouteError('invalid_request', message, { param: 'stream' })
}
