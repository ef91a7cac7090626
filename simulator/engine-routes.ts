/** The engine's HTTP routes: what vLLM answers on each path, method and body. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { EngineHost } from './engine-options.ts'
import { usableBlocks } from './engine/profile.ts'
import { generate } from './generate.ts'
import { prepareAnswer, sendError, sendJson, sendText } from './http-answer.ts'
import { BodyTooLarge, readBody } from './http-io.ts'
import { BUFFER_STEPS } from './kv-publisher.ts'
import { cancelResponse, retrieveResponse } from './kept-routes.ts'
import { answerOther, countTokens, embed } from './other-routes.ts'
import { renderChat } from './model/chat-template.ts'
import { decode, tokenString } from './model/decode.ts'
import { encode } from './model/encode.ts'
import { isCurrent } from './wire/engine-version.ts'
import { errorAnswer, invalidJson, plainDetail, unsupportedMediaType } from './wire/errors.ts'
import { readGenerationRequest } from './wire/generation-request.ts'
import { metricsText } from './wire/metrics.ts'
import { eventSourcesBody, modelsBody, resetBody } from './wire/ops-body.ts'
import { readDetokenize, readTokenize } from './wire/token-request.ts'

/** vLLM has no bound of its own; this is many times the longest prompt. */
const BODY_BYTES_MAX = 64 << 20

type Route = (host: EngineHost, request: IncomingMessage, response: ServerResponse) => void | Promise<void>

const ROUTES = new Map<string, Readonly<Record<string, Route>>>([
  ['/health', { GET: empty }],
  ['/ping', { GET: empty, POST: empty }],
  ['/version', { GET: (host, _, response) => sendJson(response, 200, { version: host.options.version }) }],
  ['/load', { GET: (host, _, response) => sendJson(response, 200, { server_load: host.load }) }],
  ['/v1/models', { GET: models }],
  ['/metrics', { GET: metrics }],
  ['/is_sleeping', { GET: (_host, _, response) => sendJson(response, 200, { is_sleeping: false }) }],
  ['/is_paused', { GET: (_host, _, response) => sendJson(response, 200, { is_paused: false }) }],
  ['/reset_prefix_cache', { POST: reset }],
  ['/tokenize', { POST: tokenize }],
  ['/detokenize', { POST: detokenize }],
  ['/v1/chat/completions', { POST: (...args) => generation('chat', ...args) }],
  ['/v1/completions', { POST: (...args) => generation('completions', ...args) }],
  ['/v1/responses', { POST: (...args) => other('responses', ...args) }],
  ['/v1/messages', { POST: (...args) => other('messages', ...args) }],
  ['/v1/messages/count_tokens', { POST: (...args) => plain(countTokens, ...args) }],
  ['/v1/embeddings', { POST: (...args) => plain(embed, ...args) }],
])

const CURRENT_ROUTES = new Map<string, Readonly<Record<string, Route>>>([
  ['/kv_event_sources', { GET: eventSources }],
  ['/v1/chat/completions/render', { POST: scaleOut }],
  ['/v1/completions/render', { POST: scaleOut }],
  ['/inference/v1/generate', { POST: scaleOut }],
])

/** Answers one request. Never rejects. */
export async function answerRequest(
  host: EngineHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (host.faults.silent) return
  const header = request.headers['x-request-id']
  const requestId = typeof header === 'string' ? header : randomUUID().replaceAll('-', '')
  prepareAnswer(response, requestId, host.options.version)
  const [path = '/'] = (request.url ?? '/').split('?')
  const routes =
    ROUTES.get(path) ??
    (isCurrent(host.options.version) ? CURRENT_ROUTES.get(path) : undefined) ??
    keptRoutes(path)
  const route = routes?.[request.method ?? 'GET']
  if (routes === undefined) {
    sendError(response, plainDetail(404, 'Not Found'))
  } else if (route === undefined) {
    response.setHeader('allow', Object.keys(routes).join(', '))
    sendError(response, plainDetail(405, 'Method Not Allowed'))
  } else {
    await route(host, request, response)
  }
}

/** Of one response; undefined for another path. */
function keptRoutes(path: string): Readonly<Record<string, Route>> | undefined {
  const [, id, cancel] = /^\/v1\/responses\/([^/]+)(\/cancel)?$/.exec(path) ?? []
  if (id === undefined) return undefined
  if (cancel !== undefined) return { POST: (host, _, response) => cancelResponse(host, id, response) }
  const queryOf = ({ url }: IncomingMessage) => new URLSearchParams(url?.split('?', 2)[1] ?? '')
  return { GET: (host, request, response) => retrieveResponse(host, id, queryOf(request), response) }
}

async function generation(
  api: 'chat' | 'completions',
  host: EngineHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { model, version } = host.options
  const body = await readJson(host, request, response)
  if (body === undefined) return
  const status = host.faults.failStatus
  if (status !== null) {
    sendError(response, errorAnswer(status, 'InternalServerError', 'Internal server error'))
    return
  }
  const read = readGenerationRequest(api, body, model, version)
  if (read.ok) await generate(host, read.request, request, response)
  else sendError(response, read.answer)
}

async function other(
  voice: 'responses' | 'messages',
  host: EngineHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readJson(host, request, response)
  if (body !== undefined) await answerOther(voice, host, body, request, response)
}

async function plain(
  answer: (host: EngineHost, body: unknown, response: ServerResponse) => void,
  host: EngineHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readJson(host, request, response)
  if (body !== undefined) answer(host, body, response)
}

/** The parsed body; undefined when an error was sent, or the client left. */
async function readJson(
  host: EngineHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<unknown> {
  const { version } = host.options
  let text = ''
  try {
    text = await readBody(request, BODY_BYTES_MAX)
  } catch (error) {
    if (error instanceof BodyTooLarge) {
      response.setHeader('connection', 'close')
      sendError(response, plainDetail(413, 'Request Entity Too Large'))
    }
    return undefined
  }
  if (!/^application\/([\w.-]+\+)?json\b/i.test(request.headers['content-type'] ?? '')) {
    sendError(response, unsupportedMediaType(version))
    return undefined
  }
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    sendError(response, invalidJson(text, error, version))
    return undefined
  }
}

async function tokenize(host: EngineHost, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { model, version } = host.options
  const body = await readJson(host, request, response)
  if (body === undefined) return
  const read = readTokenize(body, model, version)
  if (!read.ok) {
    sendError(response, read.answer)
    return
  }
  const { input, addGenerationPrompt, returnsTokenStrings } = read.request
  const text =
    typeof input === 'string' ? input : renderChat(input.messages, input.tools, addGenerationPrompt)
  const tokens = Array.from(encode(text))
  sendJson(response, 200, {
    count: tokens.length,
    max_model_len: host.contextTokensMax,
    tokens,
    token_strs: returnsTokenStrings ? tokens.map(tokenString) : null,
  })
}

async function detokenize(
  host: EngineHost,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { model, version } = host.options
  const body = await readJson(host, request, response)
  if (body === undefined) return
  const read = readDetokenize(body, model, version)
  if (read.ok) sendJson(response, 200, { prompt: decode(read.request) })
  else sendError(response, read.answer)
}

function empty(_host: EngineHost, _request: IncomingMessage, response: ServerResponse): void {
  sendText(response, 200, null, '')
}

function models(host: EngineHost, _request: IncomingMessage, response: ServerResponse): void {
  sendJson(
    response,
    200,
    modelsBody(host.options.model, host.contextTokensMax, Math.floor(Date.now() / 1000)),
  )
}

function eventSources(host: EngineHost, _request: IncomingMessage, response: ServerResponse): void {
  const { eventsEndpoint, replayEndpoint, options } = host
  sendJson(response, 200, eventSourcesBody(eventsEndpoint, replayEndpoint, options.topic, BUFFER_STEPS))
}

function reset(host: EngineHost, _request: IncomingMessage, response: ServerResponse): void {
  const body = resetBody(host.engine.core.space.reset(), host.options.version)
  if (body === null) empty(host, _request, response)
  else sendJson(response, 200, body)
}

function scaleOut(_host: EngineHost, _request: IncomingMessage, response: ServerResponse): void {
  const message =
    'Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them.'
  sendError(response, errorAnswer(403, 'PermissionDeniedError', message))
}

function metrics(host: EngineHost, _request: IncomingMessage, response: ServerResponse): void {
  const { engine, options, startS, hung } = host
  const { core, histograms } = engine
  const text = metricsText({
    model: options.model,
    version: options.version,
    running: core.runningRequests,
    waiting: core.waitingRequests + hung.size,
    deferred: core.loadingRequests + hung.size,
    kvUsage: core.kvUsage,
    blockTokens: options.profile.blockTokens,
    gpuBlocks: usableBlocks(options.profile) + 1,
    startS,
    counters: core.counters,
    histograms,
  })
  sendText(response, 200, 'text/plain; version=1.0.0; charset=utf-8', text)
}
