/**
 * The tiers of KV cache, one row each. A fifth tier is one more row. Defaults are planning figures (nominal hardware
 * halved, `docs/decisions/001-frame.md`); an endpoint's own profile overrides them.
 */
import type { TierCost } from '../protocol/report.ts'

export interface Tier {
  readonly name: string
  /** How the tier travels in a residency nibble, 1 to 7. A lower number is nearer to the GPU. 0 is "nowhere". */
  readonly number: number
  /** The engine's words for it in `medium` of KV events, lower case. */
  readonly media: readonly string[]
  /** Who shares one copy. */
  readonly span: 'endpoint' | 'host' | 'cluster'
  readonly cost: TierCost
}

export const TIERS = [
  { name: 'gpu', number: 1, media: ['gpu'], span: 'endpoint', cost: { floorMs: 0, bytesPerMs: Infinity } },
  {
    name: 'cpu',
    number: 2,
    media: ['cpu', 'cpu_pinned'],
    span: 'endpoint',
    cost: { floorMs: 1, bytesPerMs: 40e6 },
  },
  { name: 'disk', number: 3, media: ['disk'], span: 'host', cost: { floorMs: 2, bytesPerMs: 6e6 } },
  {
    name: 'remote',
    number: 4,
    media: ['storage', 'shared_storage', 'object_store', 'external'],
    span: 'cluster',
    cost: { floorMs: 20, bytesPerMs: 2e6 },
  },
] as const satisfies readonly Tier[]

/** The number that says "on no tier". */
export const TIER_NOWHERE = 0

/** A residency nibble: a tier number, and whether more than one endpoint of the cluster holds the prefix there. */
export const NIBBLE_TIER_MASK = 7
export const NIBBLE_COPIES = 8

export function residencyNibble(tier: number, endpoints: number): number {
  return tier === TIER_NOWHERE ? TIER_NOWHERE : tier | (endpoints > 1 ? NIBBLE_COPIES : 0)
}

export type TierName = (typeof TIERS)[number]['name']

const BY_NUMBER = new Map<number, Tier>(TIERS.map((tier) => [tier.number, tier]))
const BY_NAME = new Map<string, Tier>(TIERS.map((tier) => [tier.name, tier]))
const BY_MEDIUM = new Map<string, Tier>(
  TIERS.flatMap((tier) => tier.media.map((medium) => [medium, tier] as const)),
)

export function tierByNumber(number: number): Tier | null {
  return BY_NUMBER.get(number) ?? null
}

export function tierByName(name: string): Tier | null {
  return BY_NAME.get(name) ?? null
}

/** A missing medium means the GPU (vLLM before media existed); an unknown one is no tier that we can price. */
export function tierByMedium(medium: string | null): Tier | null {
  return medium === null ? TIERS[0] : (BY_MEDIUM.get(medium.toLowerCase()) ?? null)
}
