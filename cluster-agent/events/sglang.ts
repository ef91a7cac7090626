/**
 * What SGLang says otherwise than vLLM, in events of the same names: no KV groups, signed hashes, media of its own
 * (`core/tiers.ts`), many hashes a removal; positional events are shorter and end in `medium`, in an adapter's name, or in
 * `{cache_salt}`; maps leave out what is null and name the salt in a field. With EAGLE a token is a pair of neighbours.
 */

/** The token of a pair is its first: the second is the next pair's. */
export function tokenOf(value: unknown): unknown {
  return Array.isArray(value) && value.length === 2 ? value[0] : value
}

/** The salt of an event's fields, or null. `lora_name` stands where some versions have their metadata. */
export function saltField(fields: Readonly<Record<string, unknown>>): string | null {
  const direct = fields['cache_salt']
  if (typeof direct === 'string') return direct
  const metadata = fields['lora_name']
  if (typeof metadata !== 'object' || metadata === null || !('cache_salt' in metadata)) return null
  return typeof metadata.cache_salt === 'string' ? metadata.cache_salt : null
}
