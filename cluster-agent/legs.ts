/**
 * One attempt on the wire: the prefill leg and the decode leg of a hand-off, or one leg for both. Every attempt makes its own
 * transfer, so params are never used twice; when either leg ends early, so does the other.
 */
import type { ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { withDetails } from './answer/usage.ts'
import { PlainReader, RewritingReader, UsageEventReader, type AnswerReader } from './answer-reader.ts'
import type { Attempt } from './attempt.ts'
import type { Bootstraps } from './bootstraps.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import type { CallFailure, EngineCall, JsonAnswer, RelayOutcome } from './engine-client.ts'
import type { EngineClients } from './engine-clients.ts'
import type { GenerateRequest } from './generate-request.ts'
import { connectorOf, prefillDetails, type Connector, type Transfer } from './handoff/connector.ts'
import { engineBody, type ClientBody } from './handoff/engine-body.ts'
import { takesExactTokens, withExactTokens } from './handoff/exact-tokens.ts'
import type { JsonObject } from './handoff/json.ts'
import { hidesUsage, prefillFields, usageFields } from './handoff/leg-fields.ts'
import type { RequestRecord } from './request-record.ts'

export interface Legs {
  readonly attempt: Attempt
  readonly request: GenerateRequest
  readonly record: RequestRecord
  readonly res: ServerResponse
  readonly prefill: EndpointSpec
  readonly decode: EndpointSpec
  /** How long an engine may stay silent before its first byte. */
  readonly silenceMs: number
  /** `kv_transfer_params` of a request that is not handed over. */
  readonly sourceParams: JsonObject | null
  readonly keepsCopy: boolean
  readonly headers: () => Record<string, string>
}

export type LegsOutcome =
  | { readonly kind: 'answered'; readonly status: number; readonly copy: readonly Buffer[] | null }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'broken'; readonly reason: string }
  /** Nothing went out. `wasHandedOver`: decode was to pull KV, so that the pull may be what failed. */
  | {
      readonly kind: 'failed'
      readonly leg: 'prefill' | 'decode'
      readonly reason: string
      readonly status: number | null
      readonly wasHandedOver: boolean
    }

export class LegRunner {
  readonly #clients: EngineClients
  readonly #bootstraps: Bootstraps
  readonly #log: Logger

  constructor(clients: EngineClients, bootstraps: Bootstraps, log: Logger) {
    this.#clients = clients
    this.#bootstraps = bootstraps
    this.#log = log
  }

  async run(legs: Legs): Promise<LegsOutcome> {
    const { pair, id } = legs.attempt
    if (pair.prefill === pair.decode) return this.#decode(legs, legs.sourceParams, () => null)
    const connector = connectorOf(legs.prefill.connector ?? 'nixl')
    const bootstrap = await this.#bootstraps.find(legs.prefill)
    const transfer: Transfer = { id, bootstrap }
    return connector.decodeStarts === 'with-prefill'
      ? this.#runTogether(legs, connector, transfer)
      : this.#runInTurn(legs, connector, transfer)
  }

  async #runInTurn(legs: Legs, connector: Connector, transfer: Transfer): Promise<LegsOutcome> {
    const sendsTokens = this.#sendsTokens(legs)
    const answer = await this.#prefill(legs, connector, transfer, sendsTokens, legs.request.signal)
    const stop = stopOf(answer, legs.res)
    if (stop) return stop
    const json = answer.kind === 'answered' ? parseJson(answer.body) : null
    const params = connector.decodeParams(transfer, json)
    if (!params)
      this.#log.warn({ endpoint: legs.prefill.endpoint }, 'a prefill leg gave no usable transfer params')
    legs.attempt.releasePrefill()
    const sent = params && sendsTokens ? withExactTokens(params, json) : params
    return this.#decode(legs, sent, () => (params ? prefillDetails(json) : null))
  }

  async #runTogether(legs: Legs, connector: Connector, transfer: Transfer): Promise<LegsOutcome> {
    const params = connector.decodeParams(transfer, null)
    if (!params) {
      this.#log.warn({ endpoint: legs.prefill.endpoint }, 'a prefill endpoint has no bootstrap server')
      return this.#decode(legs, null, () => null)
    }
    const ending = new AbortController()
    const signal = AbortSignal.any([legs.request.signal, ending.signal])
    let details: unknown = null
    let failed: LegsOutcome | null = null
    const prefilled = this.#prefill(legs, connector, transfer, false, signal).then((answer) => {
      legs.attempt.releasePrefill()
      if (answer.kind === 'answered') details = prefillDetails(parseJson(answer.body))
      if (answer.kind === 'answered' && answer.status < 400) return
      failed = answer.kind === 'aborted' || legs.res.headersSent ? null : stopOf(answer, null)
      if (failed) ending.abort()
    })
    const outcome = await this.#decode(legs, params, () => details, signal)
    ending.abort()
    await prefilled
    const isOurs = outcome.kind === 'aborted' && !legs.request.signal.aborted
    if (outcome.kind === 'failed' || isOurs) this.#bootstraps.forget(legs.prefill)
    return isOurs && failed ? failed : outcome
  }

  #prefill(
    legs: Legs,
    connector: Connector,
    transfer: Transfer,
    returnsTokenIds: boolean,
    signal: AbortSignal,
  ): Promise<JsonAnswer> {
    const { request, attempt } = legs
    const params = connector.prefillParams(transfer)
    const fields = prefillFields(request.api, request.body.json, params, returnsTokenIds)
    const call = callOf(legs, legs.prefill, { ...fields, cache_salt: request.cacheSalt }, signal)
    return this.#clients.of(attempt.pair.prefill.endpoint.number).post(call)
  }

  async #decode(
    legs: Legs,
    params: JsonObject | null,
    details: () => unknown,
    signal = legs.request.signal,
  ): Promise<LegsOutcome> {
    const { request, attempt, record, res } = legs
    const fields = {
      ...usageFields(request.api, request.body.json),
      cache_salt: request.cacheSalt,
      kv_transfer_params: params,
    }
    const reader = readerOf(legs, params, details)
    record.noteReader(reader)
    const call = callOf(legs, legs.decode, fields, signal)
    const outcome = await this.#clients.of(attempt.pair.decode.endpoint.number).relay(call, res, {
      headers: legs.headers,
      onChunk: () => {
        record.noteFirstByte()
        attempt.releasePrefill()
        attempt.renew()
      },
      reader,
      isStream: request.stream,
    })
    return outcomeOf(outcome, reader, params !== null)
  }

  #sendsTokens({ request, prefill, decode }: Legs): boolean {
    // Other APIs do not take them.
    return (
      request.api === 'chat' &&
      takesExactTokens(prefill.version ?? null) &&
      takesExactTokens(decode.version ?? null)
    )
  }
}

/** A decode engine before 0.31 does not know what the prefill engine had cached, and counts the whole pull as cached. */
function readerOf(
  { request, keepsCopy }: Legs,
  params: JsonObject | null,
  details: () => unknown,
): AnswerReader {
  const isText = request.api === 'chat' || request.api === 'completions'
  const isOld =
    isText && params?.['do_remote_prefill'] === true && !('remote_prefill_cached_tokens' in params)
  const rewrite = isOld ? (usage: JsonObject) => withDetails(usage, details()) : null
  const isHidden = hidesUsage(request.api, request.body.json)
  if (request.stream)
    return isHidden || rewrite
      ? new UsageEventReader(isHidden, rewrite, keepsCopy)
      : new PlainReader(true, keepsCopy)
  return rewrite ? new RewritingReader(rewrite, keepsCopy) : new PlainReader(false, keepsCopy)
}

function callOf(
  { request, attempt, silenceMs }: Legs,
  { rank }: EndpointSpec,
  fields: JsonObject,
  signal: AbortSignal,
): EngineCall {
  const { path, trace } = request
  const body = engineBytes(request.body, fields)
  return {
    path,
    body,
    requestId: attempt.id,
    rank: rank ?? null,
    traceparent: trace.traceparent,
    signal,
    silenceMs,
  }
}

/** In one piece, with one copy of the client's bytes. */
function engineBytes(client: ClientBody, fields: JsonObject): Buffer {
  const { head, tail } = engineBody(client, fields)
  if (!head) return Buffer.from(tail)
  const bytes = Buffer.allocUnsafe(head.length + Buffer.byteLength(tail))
  bytes.set(head)
  bytes.write(tail, head.length)
  return bytes
}

/** How a prefill leg that did not succeed ends the attempt. Its refusal is the engine's answer to the client, on `res`. */
function stopOf(answer: JsonAnswer, res: ServerResponse | null): LegsOutcome | null {
  if (answer.kind !== 'answered') return failureOf(answer, 'prefill', false)
  if (answer.status < 400) return null
  if (!res) return failureOf({ kind: 'failed', reason: 'refused', status: answer.status }, 'prefill', false)
  res.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body)
  return { kind: 'answered', status: answer.status, copy: null }
}

function outcomeOf(outcome: RelayOutcome, reader: AnswerReader, wasHandedOver: boolean): LegsOutcome {
  if (outcome.kind === 'answered') return { ...outcome, copy: reader.copy }
  return outcome.kind === 'broken' ? outcome : failureOf(outcome, 'decode', wasHandedOver)
}

function failureOf(failure: CallFailure, leg: 'prefill' | 'decode', wasHandedOver: boolean): LegsOutcome {
  return failure.kind === 'aborted' ? failure : { ...failure, leg, wasHandedOver }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return null
  }
}
