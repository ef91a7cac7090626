/**
 * Signs what the edge tells an agent. The format is that of protocol/envelope.ts. WebCrypto computes at once and gives bytes;
 * a hash of node:crypto is a stream in workerd, which costs more to make than an envelope to sign.
 */
import { Buffer } from 'node:buffer'
import { createHmac } from 'node:crypto'
import type { Markers } from '../core/prefix-markers.ts'
import { ENVELOPE_CONTEXT, ENVELOPE_KEY_CONTEXT, KEY_ID_CHARS, type Envelope } from '../protocol/envelope.ts'
import type { KeptEnvelope } from '../protocol/kept-response.ts'

const NONCE_BYTES = 16
const HMAC = { name: 'HMAC', hash: 'SHA-256' }
const encoder = new TextEncoder()

/** SHA-256 in lower-case hexadecimal. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex')
}

export function newNonce(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(NONCE_BYTES)).buffer).toString('base64url')
}

/** `markersToText` of core/marker-text.ts, natively: words lie in memory as they travel, low byte first. */
export function markersText({ buffer, byteOffset, byteLength }: Markers): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64url')
}

export class EnvelopeSeal {
  readonly #secret: string
  readonly #keyId: string
  /** A promise of it would belong to the request that made it. */
  #key: Awaited<ReturnType<typeof crypto.subtle.importKey>> | null = null

  constructor(secret: string) {
    this.#secret = secret
    this.#keyId = createHmac('sha256', secret)
      .update(ENVELOPE_KEY_CONTEXT)
      .digest('hex')
      .slice(0, KEY_ID_CHARS)
  }

  /** The header's value for a request to `path` whose body has the digest. */
  async seal(
    path: string,
    bodySha256: string,
    envelope: Envelope | KeptEnvelope,
    method: 'GET' | 'POST' = 'POST',
  ): Promise<string> {
    const encoded = Buffer.from(JSON.stringify(envelope)).toString('base64url')
    const signed = `${ENVELOPE_CONTEXT}\n${method}\n${path}\n${bodySha256}\n${encoded}\n`
    this.#key ??= await crypto.subtle.importKey('raw', encoder.encode(this.#secret), HMAC, false, ['sign'])
    const mac = await crypto.subtle.sign('HMAC', this.#key, encoder.encode(signed))
    return `${encoded}.${Buffer.from(mac).toString('base64url')}.${this.#keyId}`
  }
}
