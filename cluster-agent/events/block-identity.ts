/** What beside its tokens makes a block another one: the salt of its prompt, and images or embeddings in it. */
import type { StoredRun } from './kv-event.ts'

/**
 * The cache salt of a run that starts a prompt. Its first block's keys hold the adapter's name, image ids as pairs, and the
 * salt as the one bare string that is left (vLLM publishes them untagged in every version). SGLang names it in a field.
 */
export function saltOf({ salt, extraKeys, lora }: StoredRun): string | null {
  if (salt !== null) return salt
  const keys = extraKeys[0]
  if (!Array.isArray(keys)) return null
  const texts = keys.filter((key): key is string => typeof key === 'string')
  if (lora !== null && texts[0] === lora) texts.shift()
  return texts[0] ?? null
}

/** The images and embeddings of block `index` of a run, as text; null without any. */
export function extraOf({ extraKeys }: StoredRun, index: number): string | null {
  if (extraKeys.length === 0) return null
  const keys = extraKeys[index]
  if (!Array.isArray(keys)) return null
  const others = keys.filter((key) => typeof key !== 'string')
  return others.length === 0 ? null : textOf(others)
}

/** Extra keys as text: equal keys have equal texts. */
export function textOf(keys: readonly unknown[]): string {
  return JSON.stringify(keys, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
}
