/** Signs what the edge tells an agent. The format is that of protocol/envelope.ts. */
import { Buffer } from 'node:buffer'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { ENVELOPE_CONTEXT, ENVELOPE_KEY_CONTEXT, KEY_ID_CHARS, type Envelope } from '../protocol/envelope.ts'

const NONCE_BYTES = 16

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('base64url')
}

export class EnvelopeSeal {
  readonly #secret: string
  readonly #keyId: string

  constructor(secret: string) {
    this.#secret = secret
    this.#keyId = createHmac('sha256', secret)
      .update(ENVELOPE_KEY_CONTEXT)
      .digest('hex')
      .slice(0, KEY_ID_CHARS)
  }

  /** The header's value for a POST to `path` whose body has the digest. */
  seal(path: string, bodySha256: string, envelope: Envelope): string {
    const encoded = Buffer.from(JSON.stringify(envelope)).toString('base64url')
    const signed = `${ENVELOPE_CONTEXT}\nPOST\n${path}\n${bodySha256}\n${encoded}\n`
    const mac = createHmac('sha256', this.#secret).update(signed).digest('base64url')
    return `${encoded}.${mac}.${this.#keyId}`
  }
}
