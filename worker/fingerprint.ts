/** Prompt -> markers: canonical bytes and keyed hashes of core/, with the key of the tenant's share scope. */
import { createHmac } from 'node:crypto'
import type { HashKey } from '../core/half-sip-hash.ts'
import { prefixMarkers, type Markers } from '../core/prefix-markers.ts'
import { PromptWriter, type PromptApi } from '../core/prompt-bytes.ts'
import { PREFIX_KEY_CONTEXT } from '../protocol/envelope.ts'
import { RouteError } from '../protocol/errors.ts'

const KEYS_MAX = 4096

export interface Fingerprint {
  readonly markers: Markers
  readonly promptBytes: number
  /** The PrefixKey of the first message's end as text: what `sticky` hashes when the caller names no key. */
  readonly firstMessageKey: string
}

export class Fingerprinter {
  readonly #secret: string
  readonly #keys = new Map<string, HashKey>()
  readonly #writer = new PromptWriter(new TextEncoder())

  constructor(prefixSecret: string) {
    this.#secret = prefixSecret
  }

  /** Throws `invalid_request` when the body has no prompt that a template could render. */
  fingerprint(
    api: PromptApi,
    model: string,
    body: Readonly<Record<string, unknown>>,
    shareScope: string,
  ): Fingerprint {
    const written = this.#writer.write(api, model, body)
    if (!written.ok) throw new RouteError('invalid_request', written.message, { param: written.param })
    const { bytes, messageEnds } = written.prompt
    const markers = prefixMarkers(bytes, messageEnds, this.#keyOf(shareScope))
    return { markers, promptBytes: bytes.length, firstMessageKey: keyAt(markers, messageEnds[0] ?? 0) }
  }

  #keyOf(shareScope: string): HashKey {
    const known = this.#keys.get(shareScope)
    if (known) return known
    const digest = createHmac('sha256', this.#secret).update(`${PREFIX_KEY_CONTEXT}\n${shareScope}`).digest()
    const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength)
    const key = { lo: view.getUint32(0, true), hi: view.getUint32(4, true) }
    if (this.#keys.size >= KEYS_MAX) this.#keys.clear()
    this.#keys.set(shareScope, key)
    return key
  }
}

function keyAt(markers: Markers, offsetBytes: number): string {
  for (let at = 0; at + 2 < markers.length; at += 3) {
    if (markers[at] === offsetBytes) return `${markers[at + 2]}-${markers[at + 1]}`
  }
  return ''
}
