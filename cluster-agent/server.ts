/** The agent's HTTP side: verifies who asks, reads the body within its bound, and hands over to `Generation`. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { HashKey } from '../core/half-sip-hash.ts'
import { markersFromText } from '../core/marker-text.ts'
import { prefixMarkers } from '../core/prefix-markers.ts'
import { PromptWriter } from '../core/prompt-bytes.ts'
import { APIS, dialectOf, type PromptApi, type RoutedApi } from '../protocol/apis.ts'
import { errorBody } from '../protocol/dialect.ts'
import { ENVELOPE_HEADER, type Envelope } from '../protocol/envelope.ts'
import { RouteError } from '../protocol/errors.ts'
import { parseKeptPath } from '../protocol/kept-response.ts'
import type { Cluster, Prompt } from './cluster.ts'
import { EnvelopeCheck } from './envelope-check.ts'
import type { Caller } from './generate-request.ts'
import type { Generation } from './generate.ts'
import { cleanBody, withFields } from './handoff/engine-body.ts'
import type { JsonObject } from './handoff/json.ts'
import type { Inspection } from './inspection.ts'
import { answerKept } from './kept-entrance.ts'
import { endStream, type KeptResponses } from './kept-responses.ts'
import { parseObject, readBody } from './request-body.ts'
import { requestIdOf } from './request-id.ts'
import type { ResponseFollowers } from './response-followers.ts'
import { Scopes } from './scope.ts'
import type { Tracing } from './tracing.ts'

/** A caller without an edge. */
const NOBODY: Caller = {
  tenant: '',
  attempt: 1,
  edgeRegion: null,
  priority: 0,
  patienceMs: null,
  elsewhereMs: null,
}
/** Edges keep connections open between requests. */
const KEEP_ALIVE_MS = 65_000

/** How long engines are asked which of them keeps what a request continues. */
const LOCATE_MS_MAX = 2000

/** Names of the operations by the GenAI conventions. */
const OPERATIONS: Readonly<Record<PromptApi, string>> = {
  chat: 'chat',
  completions: 'text_completion',
  responses: 'chat',
  messages: 'chat',
  embeddings: 'embeddings',
}

export interface ServerParts {
  readonly cluster: Cluster
  readonly generation: Generation
  readonly kept: KeptResponses
  readonly followers: ResponseFollowers
  readonly inspection: Inspection
  readonly tracing: Tracing
  readonly log: Logger
}

export function createAgentServer(parts: ServerParts): Server {
  const { cluster, generation, kept, followers, inspection, tracing, log } = parts
  const { config } = cluster
  const check = new EnvelopeCheck(config.cluster, config.secrets.envelopes)
  const scopes = new Scopes(config.secrets.prefix)
  const writer = new PromptWriter(new TextEncoder())

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const startMs = performance.now()
    const path = (req.url ?? '/').split('?', 1)[0] ?? '/'
    const route = APIS.get(path)
    const keptPath = route ? null : parseKeptPath(path)
    if (keptPath)
      return answerKept({ kept, check, isOpen: config.standalone !== undefined }, keptPath, req, res)
    if (!route) return answerLocally(req, res, path)
    if (req.method !== 'POST') throw new RouteError('method_not_allowed', `${path} takes POST.`)
    const bytes = await readBody(req, config.bodyBytesMax)
    const header = req.headers[ENVELOPE_HEADER]
    const envelope =
      header === undefined && config.standalone
        ? null
        : check.verify({ header: String(header ?? ''), method: req.method, path, body: bytes }, Date.now())
    const { prompt: api, dialect, generates } = route
    const body = withFields(cleanBody(bytes, parseObject(bytes)), ownFields(envelope))
    const shareScope = envelope?.shareScope ?? config.standalone?.shareScope ?? ''
    const keys = scopes.keysOf(shareScope)
    const client = new AbortController()
    res.once('close', () => {
      if (!res.writableFinished) client.abort()
    })
    const prompt = envelope
      ? fromEnvelope(envelope, body.json, generates)
      : fromBody(route, body.json, keys.prefixKey)
    const stream = generates && body.json['stream'] === true
    const { traceparent } = req.headers
    const { request_id: responseId, previous_response_id: previous, background } = body.json
    const requestId = envelope?.requestId ?? requestIdOf(req)
    if (api === 'responses' && typeof previous === 'string')
      await kept.locate(previous, { requestId, startMs, signal: client.signal, patienceMs: LOCATE_MS_MAX })
    const isFollowed = api === 'responses' && stream && background === true && typeof responseId === 'string'
    const unfollow = isFollowed
      ? followers.add(responseId, () => {
          client.abort()
          endStream(res)
        })
      : null
    const serving = generation.serve(
      {
        api,
        dialect,
        path,
        requestId,
        caller: envelope
          ? callerOf(envelope, Date.now())
          : { ...NOBODY, tenant: config.standalone?.tenant ?? '' },
        prompt,
        body,
        cacheSalt: keys.cacheSalt,
        prefixKey: keys.prefixKey,
        stream,
        trace: tracing.begin(OPERATIONS[api], prompt.model.model, stream, String(traceparent ?? '')),
        startMs,
        signal: client.signal,
        abort: () => client.abort(),
      },
      res,
    )
    await serving.finally(() => unfollow?.())
  }

  function fromEnvelope(
    { model, markers, promptBytes, outputTokensMax, sloTtftMs, sloItlMs }: Envelope,
    json: JsonObject,
    generates: boolean,
  ): Prompt {
    const decoded = markersFromText(markers)
    if (!decoded) throw new RouteError('forbidden', 'The envelope is of another version.')
    return {
      model: knownModel(model),
      promptBytes,
      markers: decoded,
      outputTokensMax,
      sloTtftMs,
      sloItlMs,
      isSplittable: generates && isSingle(json),
    }
  }

  function fromBody({ prompt: api, generates }: RoutedApi, json: JsonObject, key: HashKey): Prompt {
    const model = knownModel(typeof json['model'] === 'string' ? json['model'] : '')
    const written = writer.write(api, model.model, json)
    if (!written.ok) throw new RouteError('invalid_request', written.message, { param: written.param })
    const { bytes, messageEnds } = written.prompt
    const outputTokensMax = Number(
      json['max_completion_tokens'] ?? json['max_output_tokens'] ?? json['max_tokens'],
    )
    return {
      model,
      promptBytes: bytes.length,
      markers: prefixMarkers(bytes, messageEnds, key),
      outputTokensMax: Number.isInteger(outputTokensMax) && outputTokensMax > 0 ? outputTokensMax : null,
      isSplittable: generates && isSingle(json),
    }
  }

  function knownModel(name: string) {
    const model = cluster.model(name)
    if (!model)
      throw new RouteError('model_not_found', `The model \`${name.slice(0, 256)}\` does not exist.`, {
        param: 'model',
      })
    return model
  }

  async function answerLocally(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    const answer = inspection.answer(req.url ?? '/', req.headers.authorization, false)
    if (!answer) throw new RouteError('not_found', `There is no ${path.slice(0, 256)} here.`)
    if (req.method !== 'GET') throw new RouteError('method_not_allowed', `${path} takes GET.`)
    const { status, contentType, body } = await answer
    res.writeHead(status, { 'content-type': contentType }).end(body)
  }

  const server = createServer((req, res) => {
    handle(req, res).catch((error: unknown) => refuse(req, res, error, log))
  })
  server.keepAliveTimeout = KEEP_ALIVE_MS
  return server
}

function callerOf(
  { tenant, attempt, edgeRegion, priority, deadlineMs, elsewhereMs }: Envelope,
  nowMs: number,
): Caller {
  const patienceMs = deadlineMs === null ? null : Math.max(deadlineMs - nowMs, 0)
  return { tenant, attempt, edgeRegion, priority, patienceMs, elsewhereMs }
}

/** What the edge decided for the engine: the model behind an alias, the id under which an answer is kept. */
function ownFields(envelope: Envelope | null): JsonObject {
  if (!envelope) return {}
  const { model, responseId } = envelope
  return { model, ...(responseId === null ? {} : { request_id: responseId }) }
}

/** Whether one sequence comes of the request, soon: what runs in the background may begin after its KV's lease. */
function isSingle({ n, best_of, prompt, use_beam_search, background }: JsonObject): boolean {
  const isOne = (value: unknown) => value === undefined || value === null || value === 1
  const prompts = Array.isArray(prompt) && typeof prompt[0] !== 'number' ? prompt.length : 1
  return isOne(n) && isOne(best_of) && use_beam_search !== true && prompts === 1 && background !== true
}

/** The one place where faults become answers. */
function refuse(req: IncomingMessage, res: ServerResponse, error: unknown, log: Logger): void {
  const fault =
    error instanceof RouteError ? error : new RouteError('internal', 'The agent failed.', { cause: error })
  if (!(error instanceof RouteError))
    log.error({ err: error, path: req.url?.split('?', 1)[0] }, 'request failed')
  if (res.headersSent || res.destroyed) {
    res.destroy()
    return
  }
  // The rest of a body that is not wanted is not read: the connection ends with the answer.
  if (!req.complete) res.setHeader('connection', 'close')
  if (fault.retryAfterMs !== null) res.setHeader('retry-after', Math.ceil(fault.retryAfterMs / 1000))
  const path = (req.url ?? '/').split('?', 1)[0] ?? '/'
  sendJson(res, fault.kind.status, errorBody(dialectOf(path), fault, requestIdOf(req)))
}

function sendJson(res: ServerResponse, status: number, body: unknown): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
