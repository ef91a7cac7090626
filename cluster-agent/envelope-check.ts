/** Whether a request was sent by the edge, for this cluster, just now and for the first time. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { z } from 'zod'
import {
  ENVELOPE_AGE_MS_MAX,
  ENVELOPE_CONTEXT,
  ENVELOPE_KEY_CONTEXT,
  envelopeSchema,
  KEY_ID_CHARS,
  type Envelope,
} from '../protocol/envelope.ts'
import { RouteError } from '../protocol/errors.ts'
import { keptEnvelopeSchema, type KeptEnvelope } from '../protocol/kept-response.ts'

/** Nonces of envelopes that are still good; beyond it new requests are refused rather than old nonces forgotten. */
const NONCES_MAX = 1_000_000

export interface SignedRequest {
  readonly header: string | undefined
  readonly method: string
  readonly path: string
  readonly body: Uint8Array
}

/** What is looked at in every envelope. */
interface Addressed {
  readonly cluster: string
  readonly issuedMs: number
  readonly nonce: string
}

export class EnvelopeCheck {
  readonly #cluster: string
  readonly #keys: readonly { readonly id: string; readonly secret: string }[]
  /** Nonce -> when it may be forgotten, in the order in which they came. */
  readonly #nonces = new Map<string, number>()

  /** `secrets`: the current one, and while it is being replaced the one before. */
  constructor(cluster: string, secrets: readonly string[]) {
    this.#cluster = cluster
    this.#keys = secrets.map((secret) => ({ id: keyIdOf(secret), secret }))
  }

  /** Throws `forbidden` for anything but a good envelope; the message does not say how far a forgery got. */
  verify(request: SignedRequest, nowMs: number): Envelope {
    return this.#verify(request, envelopeSchema, nowMs)
  }

  /** The same for a request about a response that is kept. */
  verifyKept(request: SignedRequest, nowMs: number): KeptEnvelope {
    return this.#verify(request, keptEnvelopeSchema, nowMs)
  }

  #verify<E extends Addressed>(
    { header, method, path, body }: SignedRequest,
    schema: z.ZodType<E>,
    nowMs: number,
  ): E {
    const [payload, signature, keyId, ...rest] = header?.split('.', 5) ?? []
    if (!payload || !signature || rest.length > 0)
      throw refusal('The request carries no envelope of the edge.')
    const digest = createHash('sha256').update(body).digest('hex')
    const signed = `${ENVELOPE_CONTEXT}\n${method}\n${path}\n${digest}\n${payload}\n`
    const given = Buffer.from(signature, 'base64url')
    const isSigned = this.#keys.some(({ id, secret }) => {
      if (keyId !== undefined && keyId !== id) return false
      const expected = createHmac('sha256', secret).update(signed).digest()
      return given.length === expected.length && timingSafeEqual(given, expected)
    })
    if (!isSigned) throw refusal('The envelope is not valid.')
    const envelope = parsePayload(payload, schema)
    if (envelope.cluster !== this.#cluster) throw refusal('The envelope is for another cluster.')
    if (Math.abs(nowMs - envelope.issuedMs) > ENVELOPE_AGE_MS_MAX) throw refusal('The envelope is too old.')
    this.#takeNonce(envelope.nonce, nowMs)
    return envelope
  }

  #takeNonce(nonce: string, nowMs: number): void {
    for (const [known, endMs] of this.#nonces) {
      if (endMs > nowMs) break
      this.#nonces.delete(known)
    }
    if (this.#nonces.has(nonce)) throw refusal('The envelope was used before.')
    if (this.#nonces.size >= NONCES_MAX)
      throw new RouteError('overloaded', 'Too many requests within a minute.')
    // An envelope may be issued up to the allowed age ahead of our clock, and is then good for twice that.
    this.#nonces.set(nonce, nowMs + 2 * ENVELOPE_AGE_MS_MAX)
  }
}

function keyIdOf(secret: string): string {
  return createHmac('sha256', secret).update(ENVELOPE_KEY_CONTEXT).digest('hex').slice(0, KEY_ID_CHARS)
}

function parsePayload<E>(payload: string, schema: z.ZodType<E>): E {
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))
  } catch {
    throw refusal('The envelope is not valid.')
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) throw refusal('The envelope is of another version.')
  return parsed.data
}

function refusal(message: string): RouteError {
  return new RouteError('forbidden', message)
}
