/** Signs what the edge tells an agent. The format is that of protocol/envelope.ts. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { ENVELOPE_CONTEXT, type Envelope } from '../protocol/envelope.ts'

const NONCE_BYTES = 16

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('base64url')
}

/** The header's value for a POST to `path` whose body has the digest. */
export function sealEnvelope(secret: string, path: string, bodySha256: string, envelope: Envelope): string {
  const encoded = base64Url(asciiJson(envelope))
  const signed = `${ENVELOPE_CONTEXT}\nPOST\n${path}\n${bodySha256}\n${encoded}\n`
  return `${encoded}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

/** JSON without any character beyond ASCII: `btoa` takes no others. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[\u0080-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function base64Url(ascii: string): string {
  return btoa(ascii).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
