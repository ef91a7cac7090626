/**
 * How every endpoint stands towards a prompt: its longest known marker gives the block chain and the token count, the
 * index what of the chain lies where, bookings and adapters the rest.
 */
import { markerCount } from '../../core/prefix-markers.ts'
import { TIERS } from '../../core/tiers.ts'
import type { BlockIndex } from '../blocks/block-index.ts'
import { NO_BLOCK } from '../blocks/block-table.ts'
import type { MatchRun } from '../blocks/residency.ts'
import type { PrefixLedger } from '../ledger/prefix-ledger.ts'
import type { TokenRatio } from '../prompt/token-ratio.ts'
import type { AdapterSlots } from './adapter-slots.ts'
import type { Bookings } from './bookings.ts'
import type { Candidate, RequestSize } from './candidate.ts'
import type { Endpoint } from './endpoint.ts'
import type { Speculation } from './speculation.ts'

const BLOCK_TOKENS_USUAL = 16
/** Endpoints whose CPU tier is looked at for what a peer may pull: those with the longest matches. */
const PULL_SOURCES_MAX = 3
const PULLED_TIER = TIERS[1].number

/** What is known of one base model. */
export interface ModelKnowledge {
  readonly index: BlockIndex
  readonly ledger: PrefixLedger
  readonly ratio: TokenRatio
  readonly speculation: Speculation
}

export interface ClusterState {
  readonly endpoints: readonly Endpoint[]
  readonly bookings: Bookings
  readonly adapters: AdapterSlots
  unavailable(endpoint: number): string | null
}

export interface PromptShape {
  readonly promptBytes: number
  readonly markers: Uint32Array
  /** Name of the adapter, or null. */
  readonly adapter: string | null
  readonly kvBytesPerToken: number
  readonly answerTokens: number
  readonly isSplittable: boolean
  readonly sloTtftMs: number | null
  readonly sloItlMs: number | null
}

export interface PricedPrompt {
  readonly size: RequestSize
  readonly candidates: readonly Candidate[]
  /** Tokens of the prompt that the ledger knows: as far as that its blocks can be found. */
  readonly knownTokens: number
}

export function pricePrompt(
  cluster: ClusterState,
  knowledge: ModelKnowledge,
  prompt: PromptShape,
  tried: ReadonlySet<number>,
  nowMs: number,
): PricedPrompt {
  const { index, ratio, speculation } = knowledge
  const { markers, adapter } = prompt
  const { block, tokens, knownBytes } = knownPrefix(knowledge.ledger, markers)
  const restBytes = Math.max(prompt.promptBytes - knownBytes, 0)
  const size: RequestSize = {
    promptTokens: Math.max(tokens + (restBytes > 0 ? ratio.tokens(restBytes) : 0), 1),
    answerTokens: prompt.answerTokens,
    kvBytesPerToken: prompt.kvBytesPerToken,
    blockTokens: index.blockTokens || BLOCK_TOKENS_USUAL,
    isSplittable: prompt.isSplittable,
    sloTtftMs: prompt.sloTtftMs,
    sloItlMs: prompt.sloItlMs,
  }
  const chain = index.table.chain(block)
  const guesses = speculation.match(markers, nowMs)
  const { endpoints } = cluster
  const runs = endpoints.map(({ number }) => index.match(chain, number))
  const pullable = pullableTokens(endpoints, index, chain, runs)
  const candidates = endpoints.map((endpoint, at): Candidate => {
    const { number } = endpoint
    const bytes = guesses.get(number) ?? 0
    const guessed =
      bytes === 0
        ? 0
        : (tokensAt(bytes, markers, knowledge.ledger) ??
          (bytes <= knownBytes ? Math.min(tokens, ratio.tokens(bytes)) : ratio.tokens(bytes)))
    return {
      endpoint,
      load: cluster.bookings.load(number, nowMs),
      runs: runs[at] ?? [],
      speculativeTokens: guessed - (guessed % size.blockTokens),
      pullableTokens: pullable.get(number) ?? 0,
      ...(adapter === null ? {} : { adapter: cluster.adapters.state(number, adapter, nowMs) }),
      unavailable: tried.has(number) ? 'tried' : cluster.unavailable(number),
    }
  })
  return { size, candidates, knownTokens: tokens }
}

/** Where a marker is learnt it says exactly how many tokens lie before it: an estimate may count a block too many. */
function tokensAt(bytes: number, markers: Uint32Array, ledger: PrefixLedger): number | null {
  for (let i = markerCount(markers) - 1; i >= 0; i--)
    if (markers[i * 3] === bytes)
      return ledger.find(markers[i * 3 + 1] ?? 0, markers[i * 3 + 2] ?? 0)?.tokens ?? null
  return null
}

function knownPrefix(ledger: PrefixLedger, markers: Uint32Array) {
  for (let i = markerCount(markers) - 1; i >= 0; i--) {
    const entry = ledger.find(markers[i * 3 + 1] ?? 0, markers[i * 3 + 2] ?? 0)
    if (entry) return { block: entry.block, tokens: entry.tokens, knownBytes: markers[i * 3] ?? 0 }
  }
  return { block: NO_BLOCK, tokens: 0, knownBytes: 0 }
}

/** Peers read each other's CPU tier only; what lies there is at most as long as the match over all tiers. */
function pullableTokens(
  endpoints: readonly Endpoint[],
  index: BlockIndex,
  chain: Int32Array,
  runs: readonly (readonly MatchRun[])[],
): ReadonlyMap<number, number> {
  const pullable = new Map<number, number>()
  if (chain.length === 0 || !endpoints.some(({ profile }) => profile.peerPull)) return pullable
  const lengths = runs.map((list) => list.reduce((sum, { blocks }) => sum + blocks, 0))
  const longest = [...lengths.keys()]
    .filter((at) => (lengths[at] ?? 0) > 0)
    .sort((a, b) => (lengths[b] ?? 0) - (lengths[a] ?? 0))
  for (const at of longest.slice(0, PULL_SOURCES_MAX)) {
    const number = endpoints[at]?.number ?? 0
    let blocks = 0
    for (const block of chain) {
      if (index.tierFrom(block, number, PULLED_TIER) !== PULLED_TIER) break
      blocks++
    }
    pullable.set(number, blocks * index.blockTokens)
  }
  return pullable
}
