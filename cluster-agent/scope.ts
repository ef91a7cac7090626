/** What a share scope derives from the prefix secret: the key of its PrefixKeys and its cache salt. */
import { createHmac } from 'node:crypto'
import type { HashKey } from '../core/half-sip-hash.ts'
import { CACHE_SALT_CONTEXT, PREFIX_KEY_CONTEXT } from '../protocol/envelope.ts'

export interface ScopeKeys {
  readonly prefixKey: HashKey
  readonly cacheSalt: string
}

const SCOPES_MAX = 10_000

export class Scopes {
  readonly #secret: string
  readonly #known = new Map<string, ScopeKeys>()

  constructor(prefixSecret: string) {
    this.#secret = prefixSecret
  }

  keysOf(shareScope: string): ScopeKeys {
    const known = this.#known.get(shareScope)
    if (known) return known
    const prefix = this.#derive(PREFIX_KEY_CONTEXT, shareScope)
    const keys: ScopeKeys = {
      prefixKey: { lo: prefix.readUInt32LE(0), hi: prefix.readUInt32LE(4) },
      cacheSalt: this.#derive(CACHE_SALT_CONTEXT, shareScope).subarray(0, 16).toString('hex'),
    }
    if (this.#known.size >= SCOPES_MAX) this.#known.clear()
    this.#known.set(shareScope, keys)
    return keys
  }

  #derive(context: string, scope: string): Buffer {
    return createHmac('sha256', this.#secret).update(`${context}\n${scope}`).digest()
  }
}
