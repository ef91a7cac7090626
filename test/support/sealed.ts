/** Requests to an agent as the edge sends them, signed by hand. */
import { createHash, createHmac, randomBytes, randomUUID } from 'node:crypto'
import { ENVELOPE_CONTEXT, ENVELOPE_HEADER } from '../../protocol/envelope.ts'
import type { RunningAgent } from '../../cluster-agent/agent.ts'
import { TEST_SECRETS } from './cluster.ts'

export interface SealedTarget {
  readonly agent: RunningAgent
  readonly model: string
  /** Default: that of the tests' clusters. */
  readonly envelopeSecret?: string
}

export interface Sealed {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** null: none. */
  readonly body: object | null
  /** Fields of the envelope beside those that every envelope has. */
  readonly envelope: object
  /** What is signed where it is not what is sent. */
  readonly signed?: { readonly method?: string; readonly path?: string; readonly text?: string }
}

/** The fields of an envelope for a kept response. */
export const KEPT = { stream: false, startingAfter: null, deadlineMs: Date.now() + 600_000 }

export function askSealed(target: SealedTarget, sealed: Sealed): Promise<Response> {
  const { agent, envelopeSecret = TEST_SECRETS.ISOTHERM_ENVELOPE_SECRET } = target
  const { method, path, signed = {} } = sealed
  const text = sealed.body === null ? '' : JSON.stringify(sealed.body)
  const envelope = {
    v: 2,
    requestId: randomUUID(),
    attempt: 1,
    tenant: 't',
    cluster: agent.cluster.config.cluster,
    issuedMs: Date.now(),
    nonce: randomBytes(16).toString('base64url'),
    ...sealed.envelope,
  }
  const encoded = Buffer.from(JSON.stringify(envelope)).toString('base64url')
  const digest = createHash('sha256')
    .update(signed.text ?? text)
    .digest('hex')
  const mac = createHmac('sha256', envelopeSecret)
    .update(
      `${ENVELOPE_CONTEXT}\n${signed.method ?? method}\n${signed.path ?? path}\n${digest}\n${encoded}\n`,
    )
    .digest('base64url')
  return fetch(`${agent.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', [ENVELOPE_HEADER]: `${encoded}.${mac}` },
    ...(text === '' ? {} : { body: text }),
  })
}

/** What an envelope says of a request to generate from `text`. */
export function envelopeFor(model: string, text: string, shareScope = 't') {
  return {
    shareScope,
    model,
    stream: false,
    outputTokensMax: 4,
    markers: '',
    promptBytes: text.length,
    deadlineMs: null,
  }
}

/** Begins a response under an id of ours; the answer is its own. */
export function begin(cluster: SealedTarget, responseId: string, fields: object): Promise<Response> {
  const input = 'input' in fields ? String(fields.input) : 'Tell me a story.'
  const body = { model: cluster.model, max_output_tokens: 4, ...fields, input }
  return askSealed(cluster, {
    method: 'POST',
    path: '/v1/responses',
    body,
    envelope: { ...envelopeFor(cluster.model, input), stream: 'stream' in fields, responseId },
  })
}

export function retrieve(cluster: SealedTarget, id: string, events: object = {}): Promise<Response> {
  const envelope = { ...KEPT, ...events }
  return askSealed(cluster, { method: 'GET', path: `/v1/responses/${id}`, body: null, envelope })
}

export function cancel(cluster: SealedTarget, id: string): Promise<Response> {
  return askSealed(cluster, {
    method: 'POST',
    path: `/v1/responses/${id}/cancel`,
    body: null,
    envelope: KEPT,
  })
}
