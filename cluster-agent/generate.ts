/**
 * One request through the cluster: choose a pair of endpoints, book it, prefill leg, decode leg, stream. Before the first
 * byte a failure moves on to the next choice with a new prefill; transfer params are never used twice.
 */
import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { PromptApi } from '../core/prompt-bytes.ts'
import { RouteError, openAiErrorBody } from '../protocol/errors.ts'
import { AGENT_ROUTE_HEADER } from '../protocol/receipt.ts'
import type { Cluster, Prompt } from './cluster.ts'
import type { EngineClients } from './engine-clients.ts'
import { engineBody, type ClientBody } from './handoff/engine-body.ts'
import {
  correctUsage,
  parseTransferParams,
  prefillBody,
  type JsonObject,
  type TransferParams,
} from './handoff/nixl.ts'
import type { Health } from './health.ts'
import type { Learner } from './learner.ts'
import { predictedMs, selectPair, type Pair } from './routing/select.ts'

export interface GenerateRequest {
  readonly api: PromptApi
  /** Path of the engine's route, the same as the client's. */
  readonly path: string
  readonly requestId: string
  readonly prompt: Prompt
  readonly body: ClientBody
  readonly cacheSalt: string
  readonly stream: boolean
  /** When the request came in, on the monotonic clock. */
  readonly startMs: number
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal
}

/** Choices tried for one request; each failure takes an endpoint out. */
export const CHOICES_MAX = 8
/** Engines that may answer one request with a fault before it is taken to be the request's own. */
const FAULTS_MAX = 3

type Step = 'answered' | 'left' | 'next'

export class Generation {
  readonly #cluster: Cluster
  readonly #clients: EngineClients
  readonly #health: Health
  readonly #learner: Learner
  readonly #log: Logger

  constructor(cluster: Cluster, clients: EngineClients, health: Health, learner: Learner, log: Logger) {
    this.#cluster = cluster
    this.#clients = clients
    this.#health = health
    this.#learner = learner
    this.#log = log
  }

  /** Writes the answer to `res`. Throws `RouteError` when no byte has gone out and nobody can answer. */
  async serve(request: GenerateRequest, res: ServerResponse): Promise<void> {
    const { model, markers } = request.prompt
    const tried = new Set<number>()
    /** Endpoints that answered with a fault of their own; whether it is theirs or the request's shows later. */
    const faulty: number[] = []
    for (let choice = 1; choice <= CHOICES_MAX && faulty.length < FAULTS_MAX; choice++) {
      const nowMs = performance.now()
      const { size, candidates } = this.#cluster.price(request.prompt, nowMs, tried)
      const [best] = selectPair(candidates, size).ranked
      if (!best) break
      const pair = best.candidate
      const tokens = size.promptTokens + size.outputTokensMax
      const { speculation } = this.#cluster.state(model)
      speculation.note(pair.prefill.endpoint.number, markers, nowMs)
      this.#cluster.noteHandoff(pair)
      if (choice === 1) {
        const { api, cacheSalt } = request
        this.#learner.offer({ api, model, body: request.body.json, markers, cacheSalt })
      }
      const attempt = new Attempt(this.#cluster, pair, request.requestId, tokens, nowMs)
      try {
        const step = await this.#run(attempt, request, size.promptTokens, res, tried, faulty)
        if (step === 'answered') for (const endpoint of faulty) this.#health.noteFailure(endpoint, 'faults')
        if (step !== 'next') return
      } finally {
        attempt.release()
      }
    }
    if (faulty.length > 0) throw new RouteError('upstream_failed', 'The engines failed on this request.')
    throw new RouteError('no_endpoint', 'No engine of this cluster can answer the request now.')
  }

  async #run(
    attempt: Attempt,
    request: GenerateRequest,
    promptTokens: number,
    res: ServerResponse,
    tried: Set<number>,
    faulty: number[],
  ): Promise<Step> {
    const { pair } = attempt
    const prefill = pair.prefill.endpoint.number
    const decode = pair.decode.endpoint.number
    const salt = { cache_salt: request.cacheSalt }
    let params: TransferParams | null = null
    if (prefill !== decode) {
      const leg = JSON.stringify({ ...prefillBody(request.body.json), ...salt })
      const answer = await this.#clients.of(prefill).post(this.#call(attempt, request, Buffer.from(leg)))
      if (answer.kind === 'aborted') return 'left'
      if (answer.kind === 'failed') return this.#giveUp(prefill, answer, tried, faulty)
      if (answer.status >= 400) {
        res.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body)
        return 'answered'
      }
      params = parseTransferParams(parseJson(answer.body))
      if (!params)
        this.#log.warn(
          { endpoint: pair.prefill.endpoint.name },
          'a prefill leg gave no usable transfer params',
        )
      attempt.releasePrefill()
    }
    const fields: JsonObject = { ...salt, kv_transfer_params: params?.verbatim ?? null }
    const { head, tail } = engineBody(request.body, fields)
    const body = head ? Buffer.concat([head, Buffer.from(tail)]) : Buffer.from(tail)
    const outcome = await this.#clients.of(decode).relay(this.#call(attempt, request, body), res, {
      headers: () => {
        attempt.releasePrefill()
        return { [AGENT_ROUTE_HEADER]: this.#route(pair, promptTokens, request) }
      },
      onChunk: () => attempt.renew(),
      rewrite: request.stream || !params ? null : (answer) => correctUsage(answer, params),
    })
    if (outcome.kind === 'aborted') return 'left'
    if (outcome.kind === 'failed') return this.#giveUp(decode, outcome, tried, faulty)
    if (outcome.kind === 'broken') {
      this.#health.noteFailure(decode, outcome.reason)
      endBroken(request, res)
    }
    return 'answered'
  }

  /**
   * A dead or silent engine is out for everybody. One that answers with a fault may be right about the request: it is out
   * for others only when another engine answers the same request.
   */
  #giveUp(
    endpoint: number,
    { reason, status }: { reason: string; status: number | null },
    tried: Set<number>,
    faulty: number[],
  ): Step {
    tried.add(endpoint)
    if (status === null) this.#health.noteFailure(endpoint, reason)
    else faulty.push(endpoint)
    return 'next'
  }

  #call(attempt: Attempt, { path, signal }: GenerateRequest, body: Buffer) {
    const { silenceMsMax, silenceFactor } = this.#cluster.config
    const silenceMs = silenceMsMax + silenceFactor * predictedMs(attempt.pair)
    return { path, body, requestId: attempt.id, signal, silenceMs }
  }

  #route(pair: Pair, promptTokens: number, { startMs }: GenerateRequest): string {
    const fields = {
      prefill: pair.prefill.endpoint.name,
      decode: pair.decode.endpoint.name,
      matched_tokens: pair.reusedTokens,
      prompt_tokens: promptTokens,
      tier: pair.tier ?? 'none',
      predicted_ms: Math.round(predictedMs(pair)),
      agent_ms: Math.round(performance.now() - startMs),
    }
    return Object.entries(fields)
      .map(([key, value]) => `${key}=${value}`)
      .join('; ')
  }
}

/** What one choice has booked, released exactly once however it ends. */
class Attempt {
  readonly pair: Pair
  readonly id: string
  readonly #cluster: Cluster
  #isPrefilling = true

  constructor(cluster: Cluster, pair: Pair, requestId: string, tokens: number, nowMs: number) {
    this.pair = pair
    // Callers may give two requests one id, and a request that moves on needs another.
    const id = `${requestId}-${randomBytes(4).toString('hex')}`
    this.id = id
    this.#cluster = cluster
    const prefill = pair.prefill.endpoint.number
    const decode = pair.decode.endpoint.number
    const ms = pair.loadMs + pair.prefillMs
    // On one endpoint the sequence keeps the space that its prompt took.
    cluster.bookings.bookPrefill(prefill, id, ms, prefill === decode ? 0 : tokens, nowMs)
    cluster.bookings.bookDecode(decode, id, tokens, nowMs)
  }

  /** A token came: the sequence is alive. */
  renew(): void {
    this.#cluster.bookings.renewDecode(this.pair.decode.endpoint.number, this.id, performance.now())
  }

  releasePrefill(): void {
    if (!this.#isPrefilling) return
    this.#isPrefilling = false
    this.#cluster.bookings.releasePrefill(this.pair.prefill.endpoint.number, this.id, performance.now())
  }

  release(): void {
    this.releasePrefill()
    this.#cluster.bookings.releaseDecode(this.pair.decode.endpoint.number, this.id)
  }
}

/** The engine died in mid-stream: a stream says so and ends; a whole answer that was cut short must not look whole. */
function endBroken({ stream }: GenerateRequest, res: ServerResponse): void {
  if (!stream) {
    res.destroy()
    return
  }
  const error = new RouteError('upstream_failed', 'The engine ended before the answer was complete.')
  // The blank line ends an event that was cut in the middle.
  res.end(`\n\ndata: ${JSON.stringify(openAiErrorBody(error))}\n\ndata: [DONE]\n\n`)
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return null
  }
}
