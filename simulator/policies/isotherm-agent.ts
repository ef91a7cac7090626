/**
 * The cluster agent's choice as production makes it: its bookings, speculative entries, adapter slots, `selectPair` and the
 * queue above the knee, fed with the residency that its index would know. What cluster-agent/cluster.ts and waiting-room.ts
 * do around them with clocks and promises is done here on the run's clock.
 */
import { Room } from '../../cluster-agent/admission/room.ts'
import { AdapterSlots } from '../../cluster-agent/routing/adapter-slots.ts'
import type { Candidate, RequestSize } from '../../cluster-agent/routing/candidate.ts'
import { queuesOf, type Standing } from '../../cluster-agent/routing/cluster-queues.ts'
import type { Endpoint } from '../../cluster-agent/routing/endpoint.ts'
import {
  gpuMs,
  predictedMs,
  PRICE_WEIGHTS,
  selectPair,
  type Pair,
} from '../../cluster-agent/routing/select.ts'
import { TIER_NOWHERE, TIERS } from '../../core/tiers.ts'
import type { SimRequest } from '../world/request.ts'
import { ENDPOINTS_MAX, TIER_COUNT } from '../world/residency.ts'
import { agentProfile } from './agent-profile.ts'
import { ClusterBooks } from './cluster-books.ts'
import { BYTES_PER_TOKEN, markersOf } from './markers.ts'
import { runsOf } from './match-runs.ts'
import type { EndpointPolicy, Heartbeat, Placement, PolicyWorld } from './policy.ts'

/** As in cluster-agent/cluster.ts. */
const HANDOFF_WEIGHT = 0.05
/** Weight of one reading of an engine's KV use, of which there is one a heartbeat. */
const PINNED_WEIGHT = 0.1
const ANSWER_TOKENS_USUAL = 512
/** Default of `admission.holdMs` in cluster-agent/config.ts. */
const HOLD_MS = 500

interface Priced {
  readonly size: RequestSize
  readonly pair: Pair
  readonly costMs: number
}

export class IsothermAgent implements EndpointPolicy {
  private readonly world: PolicyWorld
  private readonly endpoints: readonly Endpoint[]
  private readonly books: readonly ClusterBooks[]
  private readonly adapters: AdapterSlots
  private readonly canPull: boolean
  private readonly runs = new Int32Array(ENDPOINTS_MAX * TIER_COUNT)
  /** What the last choice for a request was, until it is sent. */
  private readonly chosen = new Map<number, Priced>()

  constructor(world: PolicyWorld) {
    this.world = world
    const { clusters, adapters } = world.shape
    this.endpoints = clusters
      .flatMap(({ endpoints }) => endpoints)
      .map(({ role, profile }, number) => ({
        number,
        name: `e${number}`,
        role,
        version: null,
        profile: { ...agentProfile(profile), adapterLoadMs: adapters.loadMs },
      }))
    this.canPull = this.endpoints.some(({ profile }) => profile.peerPull !== undefined)
    const kvTokens = this.endpoints.map(({ profile }) => profile.kvTokens)
    this.books = clusters.map(() => new ClusterBooks(kvTokens))
    this.adapters = new AdapterSlots()
    for (const number of this.endpoints.keys()) {
      this.adapters.observe(number, { slots: adapters.slots, running: [] }, 0)
    }
  }

  choose(request: SimRequest, cluster: number, elsewhereMs = Infinity): Placement | null {
    if (!this.mayGo(request, cluster, elsewhereMs)) return null
    const priced = this.price(request, cluster)
    if (!priced) return null
    this.chosen.set(request.number, priced)
    const { pair } = priced
    return {
      prefill: pair.prefill.endpoint.number,
      decode: pair.decode.endpoint.number,
      predictedMs: predictedMs(pair),
      workMs: pair.loadMs + pair.prefillMs,
      pull: pair.source && { source: pair.source.endpoint.number, tokens: pair.reusedTokens },
    }
  }

  /** The price of the best pair, shadow included. */
  lowestCostMs(request: SimRequest, cluster: number): number {
    return this.price(request, cluster)?.costMs ?? Infinity
  }

  /** Books what another rule has placed, for the queues that directories are told of. */
  meter(request: SimRequest, { prefill }: Placement): void {
    const priced = this.price(request, this.world.clusterOf[prefill] ?? 0, prefill)
    if (!priced) return
    this.chosen.set(request.number, priced)
    this.sent(request)
  }

  sent(request: SimRequest): void {
    const priced = this.chosen.get(request.number)
    this.chosen.delete(request.number)
    if (!priced) return
    const { pair, size } = priced
    const prefill = pair.prefill.endpoint.number
    const decode = pair.decode.endpoint.number
    const books = this.booksOf(prefill)
    const nowMs = this.world.nowMs()
    const id = String(request.number)
    const isSplit = prefill !== decode
    books.bookings.bookPrefill(
      prefill,
      id,
      pair.loadMs + pair.prefillMs,
      isSplit ? size.promptTokens : 0,
      nowMs,
      { newTokens: size.promptTokens - pair.reusedTokens },
    )
    books.bookings.bookDecode(decode, id, size.promptTokens + size.answerTokens, nowMs, size.answerTokens)
    if (pair.source === null)
      books.speculation.note(prefill, markersOf(request, this.world.blockTokens), nowMs)
    if (request.adapter >= 0) {
      for (const endpoint of [prefill, decode]) this.adapters.use(endpoint, String(request.adapter))
    }
    books.handoffMs += ((isSplit ? pair.handoffMs + pair.stepMs : 0) - books.handoffMs) * HANDOFF_WEIGHT
  }

  firstToken(request: SimRequest, { prefill }: Placement): void {
    this.booksOf(prefill).bookings.releasePrefill(prefill, String(request.number), this.world.nowMs())
  }

  finished(request: SimRequest, placement: Placement): void {
    this.firstToken(request, placement)
    this.booksOf(placement.decode).bookings.releaseDecode(placement.decode, String(request.number))
  }

  /** As cluster-agent/cluster.ts tells the directories. */
  heartbeat(cluster: number): Omit<Heartbeat, 'heardMs'> {
    const nowMs = this.world.nowMs()
    const books = this.books[cluster]
    for (const number of this.healthy(cluster)) this.observePinned(number, nowMs)
    const standings = this.standings(cluster, nowMs)
    const heldMs = standings.length === 0 ? 0 : (books?.waiting.queuedMs ?? 0) / standings.length
    return {
      sentMs: nowMs,
      queues: queuesOf(standings, heldMs, PRICE_WEIGHTS.disturbance),
      handoffMs: books?.handoffMs ?? 0,
      endpoints: standings.length,
    }
  }

  /** What of the booked space is really pinned: sequences share prefixes, and answers are not there yet. */
  private observePinned(endpoint: number, nowMs: number): void {
    const { bookings } = this.booksOf(endpoint)
    const profile = this.endpoints[endpoint]?.profile
    const share = this.pinnedShares[endpoint] ?? 1
    const bookedTokens = bookings.load(endpoint, nowMs).pinnedTokens / share
    const usedTokens = this.world.reading(endpoint).kvUsage * (profile?.kvTokens ?? 0)
    if (bookedTokens <= 0 || usedTokens <= 0) return
    const next = share + (Math.min(usedTokens / bookedTokens, 1) - share) * PINNED_WEIGHT
    this.pinnedShares[endpoint] = next
    bookings.setPinnedShare(endpoint, next)
  }

  private readonly pinnedShares: number[] = []

  /** Whether the request may be bound to an endpoint now; if not it waits in the agent's queue. */
  private mayGo(request: SimRequest, cluster: number, elsewhereMs: number): boolean {
    const room = () => this.room(cluster, this.world.nowMs())
    return (
      this.books[cluster]?.waiting.mayGo(request, this.world.nowMs(), room, () => {
        const priced = this.price(request, cluster)
        return priced && predictedMs(priced.pair) <= elsewhereMs ? gpuMs(priced.pair, priced.size) : null
      }) ?? true
    )
  }

  private room(cluster: number, nowMs: number): Room {
    return new Room(this.standings(cluster, nowMs), HOLD_MS)
  }

  private standings(cluster: number, nowMs: number): Standing[] {
    const bookings = this.books[cluster]?.bookings
    return this.healthy(cluster).flatMap((number) => {
      const endpoint = this.endpoints[number]
      const load = bookings?.load(number, nowMs)
      return endpoint && load ? [{ endpoint, load }] : []
    })
  }

  /** `only`: the one endpoint that is asked about. */
  private price(request: SimRequest, cluster: number, only: number | null = null): Priced | null {
    const { world, runs } = this
    const { blockTokens, shape } = world
    const nowMs = world.nowMs()
    const numbers = only === null ? (world.endpointsOf[cluster] ?? []) : [only]
    const mask = numbers.reduce((bits, number) => bits | (1 << number), 0) >>> 0
    const limit = Math.floor(request.promptTokens / blockTokens)
    world.clusterView.advance(nowMs)
    world.clusterView.match(request.blocks, limit, mask, runs)
    // Peers read each other's DRAM only.
    const dram = this.canPull ? TIERS[1].number : TIER_NOWHERE
    const pullable = world.clusterView.prefixOn(dram, request.blocks, limit, mask)
    const books = this.books[cluster]
    const guesses = books?.speculation.match(markersOf(request, blockTokens), nowMs)
    const size: RequestSize = {
      promptTokens: request.promptTokens,
      answerTokens: Math.min(request.outputTokens, ANSWER_TOKENS_USUAL),
      kvBytesPerToken: shape.kvBytesPerToken,
      blockTokens,
      isSplittable: true,
    }
    const candidates = numbers.flatMap((number): Candidate[] => {
      const endpoint = this.endpoints[number]
      const load = books?.bookings.load(number, nowMs)
      if (!endpoint || !load) return []
      const adapter =
        request.adapter < 0 ? {} : { adapter: this.adapters.state(number, String(request.adapter), nowMs) }
      return [
        {
          endpoint,
          load,
          runs: runsOf(runs, number),
          pullableTokens: (pullable[number] ?? 0) * blockTokens,
          speculativeTokens: (guesses?.get(number) ?? 0) / BYTES_PER_TOKEN,
          ...adapter,
          unavailable: world.isHealthy(number) ? null : 'dead',
        },
      ]
    })
    const [best] = selectPair(candidates, size).ranked
    return best ? { size, pair: best.candidate, costMs: best.costMs } : null
  }

  private healthy(cluster: number): readonly number[] {
    return (this.world.endpointsOf[cluster] ?? []).filter((number) => this.world.isHealthy(number))
  }

  private booksOf(endpoint: number): ClusterBooks {
    const books = this.books[this.world.clusterOf[endpoint] ?? 0]
    if (!books) throw new RangeError(`no endpoint ${endpoint}`)
    return books
  }
}
