/** Where decode engines find prefill engines that name themselves by a bootstrap server (Mooncake). */
import { request } from 'undici'
import { boundedText } from './bounded-text.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import type { Bootstrap } from './handoff/connector.ts'
import { readBootstrap } from './handoff/mooncake.ts'

/** A restarted engine has another id; a leg that fails forgets it at once. */
const FRESH_MS = 10_000
const ANSWER_MS_MAX = 2000
const ANSWER_BYTES_MAX = 64 * 1024

interface Known {
  readonly untilMs: number
  readonly found: Promise<Bootstrap | null>
}

export class Bootstraps {
  readonly #known = new Map<string, Known>()

  /** null: the server does not answer, or names no engine. Never rejects. */
  find(spec: EndpointSpec): Promise<Bootstrap | null> {
    const { bootstrap } = spec
    if (bootstrap === undefined) return Promise.resolve(null)
    const key = keyOf(spec)
    const nowMs = performance.now()
    const known = this.#known.get(key)
    if (known && known.untilMs > nowMs) return known.found
    for (const [old, { untilMs }] of this.#known) if (untilMs <= nowMs) this.#known.delete(old)
    const found = query(bootstrap, rankOf(spec)).catch(() => null)
    this.#known.set(key, { untilMs: nowMs + FRESH_MS, found })
    return found
  }

  forget(spec: EndpointSpec): void {
    this.#known.delete(keyOf(spec))
  }
}

/** Ranks that are ports of one server have one bootstrap server, and `rank` is said of a port that serves several. */
function rankOf({ bootstrapRank, rank }: EndpointSpec): number {
  return bootstrapRank ?? rank ?? 0
}

function keyOf(spec: EndpointSpec): string {
  return `${spec.bootstrap} ${rankOf(spec)}`
}

async function query(url: string, rank: number): Promise<Bootstrap | null> {
  const response = await request(`${url}/query`, {
    headersTimeout: ANSWER_MS_MAX,
    bodyTimeout: ANSWER_MS_MAX,
  })
  const text = await boundedText(response.body, ANSWER_BYTES_MAX)
  if (text === null || response.statusCode !== 200) return null
  return readBootstrap(url, JSON.parse(text), rank)
}
