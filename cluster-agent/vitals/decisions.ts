/** The last choices and why they fell so: a ring, for `/debug/route`. It holds names and milliseconds, never prompt text. */
import type { Priced } from '../../core/choose.ts'
import type { RequestSize } from '../routing/candidate.ts'
import type { Pair } from '../routing/select.ts'

export const DECISIONS_MAX = 256
/** Of each choice: the one taken and the next best. */
export const ALTERNATIVES_MAX = 4
/** Rejections that are counted by reason; a cluster has no more endpoints. */
const REJECTED_MAX = 256

export interface ChoiceMade {
  readonly ranked: readonly Priced<Pair>[]
  readonly rejected: readonly { readonly reason: string }[]
}

/** A request, as far as it is told of. */
interface Asked {
  readonly requestId: string
  readonly prompt: { readonly model: { readonly model: string } }
}
type Size = Pick<RequestSize, 'promptTokens'>

interface Decision {
  readonly requestId: string
  readonly atMs: number
  readonly model: string
  readonly promptTokens: number
  readonly ranked: readonly Priced<Pair>[]
  readonly rejected: Readonly<Record<string, number>>
}

export class Decisions {
  readonly #ring: Decision[] = []
  #next = 0
  #total = 0

  /** On the request path: takes what is there, and words it when it is asked for. `atMs`: since the epoch. */
  note({ requestId, prompt }: Asked, { promptTokens }: Size, choice: ChoiceMade, atMs: number): void {
    const rejected: Record<string, number> = {}
    for (const { reason } of choice.rejected.slice(0, REJECTED_MAX))
      rejected[reason] = (rejected[reason] ?? 0) + 1
    const ranked = choice.ranked.slice(0, ALTERNATIVES_MAX)
    this.#ring[this.#next] = { requestId, atMs, model: prompt.model.model, promptTokens, ranked, rejected }
    this.#next = (this.#next + 1) % DECISIONS_MAX
    this.#total++
  }

  get total(): number {
    return this.#total
  }

  /** Newest first. */
  recent(limit: number): unknown[] {
    const count = Math.min(limit, this.#ring.length)
    return Array.from({ length: count }, (_, i) => {
      const at = (this.#next - 1 - i + 2 * DECISIONS_MAX) % DECISIONS_MAX
      const decision = this.#ring[at]
      return decision ? wording(decision) : null
    })
  }
}

function wording({ requestId, atMs, model, promptTokens, ranked, rejected }: Decision): unknown {
  const options = ranked.map(({ candidate, costMs }) => ({
    prefill: candidate.prefill.endpoint.name,
    decode: candidate.decode.endpoint.name,
    costMs: round(costMs),
    reusedTokens: candidate.reusedTokens,
    tier: candidate.tier,
    // Every term of the price, whatever terms it has.
    terms: Object.fromEntries(
      Object.entries(candidate).flatMap(([name, value]) =>
        name.endsWith('Ms') && typeof value === 'number' ? [[name, round(value)]] : [],
      ),
    ),
  }))
  return {
    requestId,
    at: new Date(atMs).toISOString(),
    model,
    promptTokens,
    chosen: options[0] ?? null,
    alternatives: options.slice(1),
    rejected,
  }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100
}
