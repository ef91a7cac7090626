/** `GET /v1/responses/{id}` and `POST /v1/responses/{id}/cancel` as vLLM 0.32 answers them. It has no deletion. */
import type { ServerResponse } from 'node:http'
import type { EngineHost } from './engine-options.ts'
import { openStream, sendError, sendJson } from './http-answer.ts'
import { errorAnswer, schemaError, unknownResponse, type ErrorAnswer } from './wire/errors.ts'

const CANCELLABLE = ['queued', 'in_progress']

export function retrieveResponse(
  host: EngineHost,
  id: string,
  query: URLSearchParams,
  response: ServerResponse,
): void {
  const asked = readQuery(host, query)
  if ('status' in asked) {
    sendError(response, asked)
    return
  }
  const kept = host.responses.find(id)
  if (!kept) {
    sendError(response, unknownResponse(id))
    return
  }
  if (!asked.isStream) {
    sendJson(response, 200, kept.body)
    return
  }
  if (kept.run && kept.hasEvents) {
    kept.run.follow(response, asked.startingAfter === null ? 0 : asked.startingAfter + 1)
    return
  }
  // vLLM notices after its headers have left that there are no events.
  openStream(response)
  response.destroy()
}

export function cancelResponse(host: EngineHost, id: string, response: ServerResponse): void {
  const kept = host.responses.find(id)
  if (!kept) {
    sendError(response, unknownResponse(id))
    return
  }
  if (!CANCELLABLE.includes(kept.body.status)) {
    const message = 'Cannot cancel a synchronous response.'
    sendError(response, errorAnswer(400, 'invalid_request_error', message, 'response_id'))
    return
  }
  const cancelled = host.responses.setStatus(id, 'cancelled')
  kept.run?.cancel()
  sendJson(response, 200, cancelled?.body)
}

interface Asked {
  readonly isStream: boolean
  readonly startingAfter: number | null
}

function readQuery({ options: { version } }: EngineHost, query: URLSearchParams): Asked | ErrorAnswer {
  const refuse = (name: string, type: string, message: string): ErrorAnswer =>
    schemaError([{ type, path: ['query', name], message, input: query.get(name) }], '/v1/responses', version)
  const stream = query.get('stream')?.toLowerCase() ?? 'false'
  if (!/^(true|false|1|0|on|off|t|f|y|n|yes|no)$/.test(stream)) {
    const message = 'Input should be a valid boolean, unable to interpret input'
    return refuse('stream', 'bool_parsing', message)
  }
  const after = query.get('starting_after')
  if (after !== null && !/^-?\d+$/.test(after)) {
    const message = 'Input should be a valid integer, unable to parse string as an integer'
    return refuse('starting_after', 'int_parsing', message)
  }
  const isStream = /^(true|1|on|t|y|yes)$/.test(stream)
  return { isStream, startingAfter: after === null ? null : Number(after) }
}
