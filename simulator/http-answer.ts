/** Writes answers with the headers that uvicorn and vLLM's middleware give. */
import type { ServerResponse } from 'node:http'
import { isCurrent, type EngineVersion } from './wire/engine-version.ts'
import type { ErrorAnswer } from './wire/errors.ts'

/** uvicorn's default, and Node's headers about it left out as uvicorn leaves them out. */
export const KEEP_ALIVE_MS = 5000

/** Sets what all answers share. */
export function prepareAnswer(response: ServerResponse, requestId: string, version: EngineVersion): void {
  response.removeHeader('connection')
  response.setHeader('server', 'uvicorn')
  if (isCurrent(version)) response.setHeader('vary', 'Origin')
  response.setHeader('x-request-id', requestId)
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  sendText(response, status, 'application/json', JSON.stringify(body))
}

export function sendText(
  response: ServerResponse,
  status: number,
  contentType: string | null,
  text: string,
): void {
  if (response.headersSent || response.destroyed) return
  if (contentType !== null) response.setHeader('content-type', contentType)
  response.writeHead(status, { 'content-length': Buffer.byteLength(text) }).end(text)
}

export function sendError(response: ServerResponse, { status, body }: ErrorAnswer): void {
  sendJson(response, status, body)
}

/** Headers of a stream leave at once, as Starlette's do; its chunks follow. */
export function openStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  response.flushHeaders()
}
