/**
 * Whose events a topic names, where engines dial in and all arrive at one socket. llm-d's form is `kv@host:port@model`, an
 * older one `kv@pod@model`; vLLM's own default is empty and names nobody.
 */

export interface TopicOwner {
  readonly endpoint: string
  readonly url: string
  readonly eventsTopic?: string | undefined
  readonly rank?: number | undefined
}

/** The names that a topic may mean, most exact first. */
function namesOf(topic: string): string[] {
  const [prefix, pod, ...model] = topic.split('@')
  return prefix === 'kv' && pod && model.length > 0 ? [topic, pod] : [topic]
}

/** The owner of a topic, of several ranks the one that speaks (null: it does not say). */
export function ownerOf<T extends TopicOwner>(
  owners: readonly T[],
  topic: string,
  rank: number | null,
): T | null {
  for (const name of namesOf(topic)) {
    const named = owners.filter((owner) => name !== '' && isNamed(owner, name))
    const [first] = named
    if (!first) continue
    if (rank === null || named.length === 1) return first
    return named.find((owner) => owner.rank === rank) ?? null
  }
  return null
}

function isNamed({ endpoint, url, eventsTopic }: TopicOwner, name: string): boolean {
  if (eventsTopic !== undefined) return eventsTopic === name
  const address = url.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return endpoint === name || address === name || address.replace(/:\d+$/, '') === name
}
