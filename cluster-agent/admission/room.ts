/**
 * Whether endpoints have room for one more request: about `holdMs` of work waits at each, no more. Below the knee there is
 * always room and nothing is held; above it a request is bound to an endpoint when one is about to run dry.
 */
import { decodeShareMs, type Endpoint, type EndpointLoad } from '../routing/endpoint.ts'

export interface Place {
  readonly endpoint: Endpoint
  readonly load: EndpointLoad
}

interface Standing {
  readonly place: Place
  waitMs: number
  freeTokens: number
}

export class Room {
  readonly #holdMs: number
  readonly #standings: readonly Standing[]
  readonly #decoders: readonly Standing[]

  /** `places`: those that take requests now. */
  constructor(places: readonly Place[], holdMs: number) {
    this.#holdMs = holdMs
    this.#standings = places.map((place) => ({
      place,
      waitMs: waitMs(place),
      freeTokens: place.endpoint.profile.kvTokens - place.load.pinnedTokens,
    }))
    const decoders = this.#standings.filter(({ place }) => place.endpoint.role !== 'prefill')
    this.#decoders = decoders.length > 0 ? decoders : this.#standings
  }

  get endpoints(): number {
    return this.#standings.length
  }

  fits(kvTokens: number): boolean {
    return this.#find(kvTokens) !== null
  }

  /** Counts a request in that goes now: its booking comes later. */
  take(workMs: number, kvTokens: number): void {
    const found = this.#find(kvTokens)
    if (!found) return
    found.prefill.waitMs += workMs
    found.decode.freeTokens -= kvTokens
  }

  /** The place that runs dry first, with a place to decode: itself, or one that can take the hand-off. */
  #find(kvTokens: number): { readonly prefill: Standing; readonly decode: Standing } | null {
    let best: { prefill: Standing; decode: Standing } | null = null
    for (const prefill of this.#standings) {
      if (prefill.waitMs > this.#holdMs || (best && prefill.waitMs >= best.prefill.waitMs)) continue
      const decode = this.#decodeFor(prefill, kvTokens)
      if (decode) best = { prefill, decode }
    }
    return best
  }

  #decodeFor(prefill: Standing, kvTokens: number): Standing | null {
    if (this.#decoders.includes(prefill) && hasSpace(prefill, kvTokens)) return prefill
    const { role, version } = prefill.place.endpoint
    if (role === 'decode') return null
    return (
      this.#decoders.find(
        (decode) => decode.place.endpoint.version === version && hasSpace(decode, kvTokens),
      ) ?? null
    )
  }
}

/** Who needs more than the whole space gets it once nobody else is there. */
function hasSpace({ place, freeTokens }: Standing, kvTokens: number): boolean {
  return freeTokens >= kvTokens || place.load.pinnedTokens === 0
}

function waitMs({ endpoint: { profile }, load }: Place): number {
  return load.backlogMs + decodeShareMs(profile, load, load.backlogTokens / profile.batchTokensMax)
}
