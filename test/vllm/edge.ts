/** What the edge does for a request, in short: canonical bytes, markers, envelope. Each scope is another tenant. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { markersToText } from '../../core/marker-text.ts'
import { prefixMarkers } from '../../core/prefix-markers.ts'
import { PromptWriter } from '../../core/prompt-bytes.ts'
import { Scopes } from '../../cluster-agent/scope.ts'
import { ENVELOPE_CONTEXT, ENVELOPE_HEADER, type EnvelopeInput } from '../../protocol/envelope.ts'

export const SECRETS = {
  ISOTHERM_ENVELOPE_SECRET: 'envelope-secret-of-test-vllm',
  ISOTHERM_PREFIX_SECRET: 'prefix-secret-of-test-vllm',
  ISOTHERM_CLUSTER_TOKEN: 'cluster-token-of-test-vllm',
}
export const CLUSTER = 'real'
const PATH = '/v1/chat/completions'

const writer = new PromptWriter(new TextEncoder())
const scopes = new Scopes(SECRETS.ISOTHERM_PREFIX_SECRET)

export interface Message {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

export interface Question {
  readonly scope: string
  readonly requestId: string
  readonly body: { readonly model: string; readonly messages: readonly Message[] } & Record<string, unknown>
}

export function askAsEdge(
  agentUrl: string,
  { scope, requestId, body }: Question,
  signal?: AbortSignal,
): Promise<Response> {
  const bytes = Buffer.from(JSON.stringify(body))
  const written = writer.write('chat', body.model, body)
  if (!written.ok) throw new Error(written.message)
  const { bytes: prompt, messageEnds } = written.prompt
  const envelope: EnvelopeInput = {
    v: 2,
    requestId,
    attempt: 1,
    tenant: 'test',
    shareScope: scope,
    cluster: CLUSTER,
    model: body.model,
    stream: body['stream'] === true,
    outputTokensMax: typeof body['max_tokens'] === 'number' ? body['max_tokens'] : null,
    markers: markersToText(prefixMarkers(prompt, messageEnds, scopes.keysOf(scope).prefixKey)),
    promptBytes: prompt.length,
    issuedMs: Date.now(),
    nonce: randomBytes(16).toString('base64url'),
    deadlineMs: null,
  }
  const payload = Buffer.from(JSON.stringify(envelope)).toString('base64url')
  const digest = createHash('sha256').update(bytes).digest('hex')
  const signature = createHmac('sha256', SECRETS.ISOTHERM_ENVELOPE_SECRET)
    .update(`${ENVELOPE_CONTEXT}\nPOST\n${PATH}\n${digest}\n${payload}\n`)
    .digest('base64url')
  return fetch(`${agentUrl}${PATH}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', [ENVELOPE_HEADER]: `${payload}.${signature}` },
    body: bytes,
    ...(signal ? { signal } : {}),
  })
}
