/**
 * The text of an API key: `isk-`, the shard of the policy store that knows it, a secret of 256 bits, and a checksum by
 * which a mistyped or invented key is refused without asking anybody. The checksum protects nothing else.
 */
import { hashPrefixes } from './half-sip-hash.ts'

/** Objects that hold the tenants between them. Fixed: a tenant's place is derived from its name. */
export const POLICY_SHARDS = 32
const SHAPE = /^isk-([0-9a-f]{2})([A-Za-z0-9_-]{43})([0-9a-f]{8})$/
const CHECKSUM_KEY = { lo: 0x69736f74, hi: 0x6865726d }
const SHARD_KEY = { lo: 0x74656e61, hi: 0x6e747331 }

export function shardOf(tenant: string): number {
  return lowHalf(tenant, SHARD_KEY) % POLICY_SHARDS
}

/** `secret` is 32 random bytes in base64url. */
export function formatApiKey(shard: number, secret: string): string {
  const text = `isk-${shard.toString(16).padStart(2, '0')}${secret}`
  return `${text}${checksum(text)}`
}

/** The shard that knows the key; null when the text cannot be one of ours. */
export function shardOfKey(key: string): number | null {
  const parts = SHAPE.exec(key)
  if (!parts || checksum(key.slice(0, -8)) !== parts[3]) return null
  const shard = Number.parseInt(parts[1] ?? '', 16)
  return shard < POLICY_SHARDS ? shard : null
}

function checksum(text: string): string {
  return lowHalf(text, CHECKSUM_KEY).toString(16).padStart(8, '0')
}

/** Keys and names are ASCII. */
function lowHalf(text: string, key: { readonly lo: number; readonly hi: number }): number {
  const bytes = Uint8Array.from(text, (char) => char.charCodeAt(0))
  return (hashPrefixes(bytes, [bytes.length], key)[1] ?? 0) >>> 0
}
