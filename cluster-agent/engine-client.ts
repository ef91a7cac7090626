/**
 * HTTP to one engine, on undici's `dispatch`: bodies go out as bytes and answers come back without a copy or a stream
 * object between. A web-standard fetch costs three times the relay.
 */
import type { ServerResponse } from 'node:http'
import type { IncomingHttpHeaders } from 'undici/types/header.js'
import { Pool, type Dispatcher } from 'undici'
import { isErrorEvent, type AnswerReader } from './answer-reader.ts'

/** Below the 5 s after which uvicorn closes an idle connection. */
const KEEP_ALIVE_MS = 4000
/** Silence in mid-stream after which an engine counts as dead. */
const CHUNK_MS_MAX = 300_000
/** The prefill leg's answer is one token, transfer params and perhaps the prompt's token ids. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024
/** Stands for the status of an answer that began well and turned out to be an error or endless. */
const UNUSABLE_STATUS = 502

export interface EngineCall {
  /** Default: POST. */
  readonly method?: 'GET' | 'POST'
  readonly path: string
  /** JSON; null: none. */
  readonly body: Buffer | null
  readonly requestId: string
  /** Which of the engine's data-parallel ranks is asked; null: it has one, or chooses itself. */
  readonly rank: number | null
  /** Trace context for the engine's own spans, or null. */
  readonly traceparent: string | null
  /** Aborts the call; the engine stops when its connection closes. */
  readonly signal: AbortSignal
  /** How long the engine may stay silent before its first byte. */
  readonly silenceMs: number
}

/** `status` null: no answer at all. */
export type CallFailure =
  | { readonly kind: 'failed'; readonly reason: string; readonly status: number | null }
  | { readonly kind: 'aborted' }

export interface RelayHooks {
  /** Our own headers, asked for when the first byte goes out. */
  readonly headers: () => Record<string, string>
  readonly onChunk: () => void
  readonly reader: AnswerReader
  /** Whether the answer, when it is good, is a stream of events. */
  readonly isStream: boolean
}

export type JsonAnswer =
  | { readonly kind: 'answered'; readonly status: number; readonly body: Buffer }
  | CallFailure

export type RelayOutcome =
  /** The whole answer went to the client. */
  | { readonly kind: 'answered'; readonly status: number }
  /** The engine died after the first byte had gone out. */
  | { readonly kind: 'broken'; readonly reason: string }
  | CallFailure

/** Statuses that another endpoint may answer otherwise. */
function isRetryable(status: number): boolean {
  return status >= 500 || status === 429
}

export class EngineClient {
  readonly #pool: Pool

  constructor(url: string) {
    this.#pool = new Pool(url, {
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: CHUNK_MS_MAX,
    })
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }

  /** The whole answer, for the prefill leg and what is asked about kept responses. */
  post(call: EngineCall): Promise<JsonAnswer> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = []
      let bytes = 0
      let status = 0
      this.#dispatch(call, {
        onStart: (code) => {
          status = code
          return !isRetryable(code)
        },
        onData: (chunk) => {
          bytes += chunk.length
          chunks.push(chunk)
          return bytes <= ANSWER_BYTES_MAX
        },
        onEnd: () => resolve({ kind: 'answered', status, body: Buffer.concat(chunks) }),
        onFailure: resolve,
      })
    })
  }

  /** Passes the answer on, as `hooks.reader` gives it out. */
  relay(call: EngineCall, res: ServerResponse, hooks: RelayHooks): Promise<RelayOutcome> {
    const { reader } = hooks
    return new Promise((resolve) => {
      let status = 0
      let received: IncomingHttpHeaders = {}
      let isFirst = true
      const begin = (lengthBytes: number | null) => {
        if (res.headersSent) return
        const length = reader.changesLength ? lengthBytes : received['content-length']
        res.writeHead(status, { ...endToEnd(received, length), ...hooks.headers() })
      }
      this.#dispatch(call, {
        onStart: (code, headers) => {
          status = code
          received = headers
          return !isRetryable(code)
        },
        onData: (chunk, controller) => {
          if (isFirst && hooks.isStream && isErrorEvent(chunk)) return false
          isFirst = false
          hooks.onChunk()
          const out = reader.take(chunk)
          if (!out) return true
          begin(null)
          if (res.write(out)) return true
          controller.pause()
          res.once('drain', () => controller.resume())
          return true
        },
        onEnd: () => {
          const rest = reader.end()
          begin(rest?.length ?? 0)
          if (rest) res.end(rest)
          else res.end()
          resolve({ kind: 'answered', status })
        },
        onFailure: (failure) => {
          if (failure.kind === 'failed' && res.headersSent)
            resolve({ kind: 'broken', reason: failure.reason })
          else resolve(failure)
        },
      })
    })
  }

  #dispatch(call: EngineCall, handler: CallHandler): void {
    const { signal } = call
    let controller: Dispatcher.DispatchController | null = null
    let isOver = false
    const finish = (settle: () => void) => {
      if (isOver) return
      isOver = true
      clearTimeout(silence)
      signal.removeEventListener('abort', onAbort)
      settle()
    }
    const fail = (failure: CallFailure) => {
      finish(() => handler.onFailure(failure))
      controller?.abort(new Error('call ended'))
    }
    const onAbort = () => fail({ kind: 'aborted' })
    const silence = setTimeout(
      () => fail({ kind: 'failed', reason: 'silence', status: null }),
      call.silenceMs,
    )
    if (signal.aborted) {
      onAbort()
      return
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#pool.dispatch(
      {
        path: call.path,
        method: call.method ?? 'POST',
        headers: {
          ...(call.body === null
            ? {}
            : { 'content-type': 'application/json', 'content-length': String(call.body.length) }),
          'x-request-id': call.requestId,
          ...(call.rank === null ? {} : { 'x-data-parallel-rank': String(call.rank) }),
          ...(call.traceparent === null ? {} : { traceparent: call.traceparent }),
        },
        body: call.body,
      },
      {
        onRequestStart: (started) => {
          controller = started
          if (isOver) started.abort(new Error('call ended'))
        },
        onResponseStart: (started, status, headers) => {
          controller = started
          if (!isOver && !handler.onStart(status, headers))
            fail({ kind: 'failed', reason: `status ${status}`, status })
        },
        onResponseData: (started, chunk) => {
          if (isOver) return
          clearTimeout(silence)
          if (!handler.onData(chunk, started))
            fail({ kind: 'failed', reason: 'an answer of no use', status: UNUSABLE_STATUS })
        },
        onResponseEnd: () => finish(() => handler.onEnd()),
        onResponseError: (_, error) =>
          finish(() => handler.onFailure({ kind: 'failed', reason: describe(error), status: null })),
      },
    )
  }
}

interface CallHandler {
  /** Whether the answer is of use. */
  onStart(status: number, headers: IncomingHttpHeaders): boolean
  /** Whether it still is. */
  onData(chunk: Buffer, controller: Dispatcher.DispatchController): boolean
  onEnd(): void
  onFailure(failure: CallFailure): void
}

/** The engine's headers that concern the caller; the connection's own stay behind. */
function endToEnd(
  headers: IncomingHttpHeaders,
  length: number | string | string[] | null | undefined,
): Record<string, string> {
  const kept: Record<string, string> = {}
  const type = headers['content-type']
  if (typeof type === 'string') kept['content-type'] = type
  if (typeof length === 'string' || typeof length === 'number') kept['content-length'] = String(length)
  return kept
}

function describe(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message
}
