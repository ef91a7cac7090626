/**
 * One chat or completion request from its body to its last byte: prompts become tokens, which Generation answers, while its
 * client waits or in the background. A client that leaves ends what it waits for.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { HttpSink } from './answer-sink.ts'
import { BackgroundRun } from './background-run.ts'
import type { EngineHost } from './engine-options.ts'
import { Generation } from './generation.ts'
import { sendError, sendJson } from './http-answer.ts'
import { badRequest, inVoice } from './wire/errors.ts'
import type { GenerationRequest } from './wire/generation-request.ts'
import { promptTokens } from './wire/prompt-tokens.ts'
import { readTransferParams, type TransferRole } from './wire/transfer-params.ts'
import { answerId } from './wire/voices.ts'

/** Answers `request`; the response may already be closed, then nothing happens. */
export async function generate(
  host: EngineHost,
  request: GenerationRequest,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (response.destroyed) return
  const rank = Number(incoming.headers['x-data-parallel-rank'] ?? 0)
  if (Number.isInteger(rank) && rank !== 0) {
    sendError(
      response,
      inVoice(request.voice, badRequest(`data_parallel_rank ${rank} is out of range [0, 1).`)),
    )
    return
  }
  const read = promptTokens(request, host.contextTokensMax, host.options.version)
  if ('status' in read) {
    sendError(response, inVoice(request.voice, read))
    return
  }
  const { options } = host
  const role: TransferRole = options.hasConnector ? readTransferParams(request.transfer) : { kind: 'local' }
  const id = answerId(request, incoming.headers['x-request-id'], randomBytes(8).toString('hex'))
  host.load++
  if (request.echo?.isBackground) {
    await generateLater(host, request, read, id, role, response)
    return
  }
  const generation = new Generation(host, request, read, id, new HttpSink(response))
  response.once('close', () => generation.onClose())
  await generation.start(role)
}

/** Keeps the response before it is made, and answers with what is kept. */
async function generateLater(
  host: EngineHost,
  request: GenerationRequest,
  prompts: readonly Uint32Array[],
  id: string,
  role: TransferRole,
  response: ServerResponse,
): Promise<void> {
  const run: BackgroundRun = new BackgroundRun(
    () => generation.onClose(),
    () => host.responses.setStatus(id, 'failed'),
  )
  const generation = new Generation(host, request, prompts, id, run)
  const body = generation.queued()
  host.responses.keep(id, { messages: request.conversation, body, run, hasEvents: request.isStream })
  const starting = generation.start(role)
  if (request.isStream) run.follow(response, 0)
  else sendJson(response, 200, body)
  await starting
}
