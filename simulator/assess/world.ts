/** The world that a trace is played in: endpoints of one kind, spread evenly over regions. */
import { PROFILE_NAMES } from '../scenario/profiles.ts'
import { roundTripMs } from '../scenario/regions.ts'
import { parseScenario, type Scenario } from '../scenario/scenario.ts'

/** In the order in which a count of regions takes them. */
export const REGIONS = [
  'us-east',
  'eu-central',
  'ap-northeast',
  'us-west',
  'eu-west',
  'ap-southeast',
] as const

/** Engine profiles; the first is the default. */
export const PROFILES: readonly string[] = PROFILE_NAMES

export interface Fleet {
  readonly endpoints: number
  readonly regions: number
  readonly profile: string
  /** GiB of each endpoint; null: as the profile has it. */
  readonly dramGib: number | null
  readonly nvmeGib: number
}

export interface Played {
  readonly blockTokens: number
  /** Milliseconds from the first request to the last. */
  readonly lengthMs: number
  /** Divides the time between requests. */
  readonly speed: number
  /** TTFT within which an answer counts as goodput. */
  readonly targetMs: number
}

/** What an NVMe tier gives, as core/tiers.ts plans with. */
const NVME = { floorMs: 2, bytesPerMs: 6e6 } as const
/** How long after the last request a run is followed. */
const DRAIN_S = 3600
/** Within a region, as scenarios have it. */
const OWN_RTT_MS = 5

/** Throws when the fleet does not fit: an endpoint a region at least. */
export function worldOf(fleet: Fleet, played: Played, kvBytesPerToken: number): Scenario {
  const { endpoints, regions, profile, dramGib, nvmeGib } = fleet
  if (endpoints < regions) throw new RangeError(`${endpoints} endpoints are fewer than ${regions} regions`)
  const names = REGIONS.slice(0, regions)
  const tokensOf = (gib: number) => Math.floor((gib * 2 ** 30) / kvBytesPerToken)
  const overrides = {
    ...(dramGib === null ? {} : { cpuKvTokens: tokensOf(dramGib) }),
    ...(nvmeGib === 0 ? {} : { lowerTiers: [{ name: 'disk', kvTokens: tokensOf(nvmeGib), ...NVME }] }),
  }
  return parseScenario(
    {
      name: 'assess',
      title: 'A trace that a user brings',
      blockTokens: played.blockTokens,
      world: {
        regions: names,
        ownRttMs: OWN_RTT_MS,
        clusters: names.map((region, i) => ({
          region,
          endpoints: [
            {
              count: Math.floor(endpoints / regions) + (i < endpoints % regions ? 1 : 0),
              profile,
              overrides,
            },
          ],
        })),
      },
      workload: { kind: 'trace', speed: played.speed, traceBlockTokens: played.blockTokens },
      policies: ['isotherm'],
      horizonS: Math.min(Math.ceil(played.lengthMs / 1000 / played.speed) + DRAIN_S, 1_000_000),
      kneeMs: played.targetMs,
    },
    'the world to assess',
  )
}

/** How much farther the nearest other region is than the caller's own; with one region, than there could be. */
export function detourMs(regions: number): number {
  const [home, ...others] = REGIONS.slice(0, Math.max(regions, 2))
  return Math.min(...others.map((other) => roundTripMs(home ?? '', other) ?? Infinity)) - OWN_RTT_MS
}
