/** From a scenario to the world's shape and its workload. */
import { burstsWorkload } from '../workload/bursts.ts'
import { conversationsWorkload } from '../workload/conversations.ts'
import { sharedPrefixWorkload } from '../workload/shared-prefix.ts'
import { traceWorkload, type PlayedRequest } from '../workload/trace.ts'
import type { Workload, WorkloadContext } from '../workload/workload.ts'
import type { WorldShape } from '../world/shape.ts'
import { makeProfile } from './profiles.ts'
import { roundTripMs } from './regions.ts'
import type { Scenario } from './scenario.ts'

export function buildShape(scenario: Scenario): WorldShape {
  const { world, blockTokens } = scenario
  const { regions, rttFactor } = world
  const clusters = world.clusters.map(({ region, name, endpoints }, number) => {
    const at = regions.indexOf(region)
    if (at < 0) throw new Error(`world.clusters.${number}.region: '${region}' is not one of world.regions`)
    return {
      name: name ?? `${region}-${number + 1}`,
      region: at,
      endpoints: endpoints.flatMap(({ count, profile, role, overrides }) =>
        Array.from({ length: count }, () => ({
          role,
          profile: makeProfile(profile, blockTokens, overrides),
        })),
      ),
    }
  })
  const rttMs = regions.map((a, i) =>
    regions.map((b, j) => {
      const ms = world.rttMs?.[i]?.[j] ?? (i === j ? world.ownRttMs : roundTripMs(a, b))
      if (ms === null) throw new Error(`world.rttMs: the table has no round trip from '${a}' to '${b}'`)
      return i === j ? ms : ms * rttFactor
    }),
  )
  return {
    regions,
    rttMs,
    clusters,
    kvBytesPerToken: clusters[0]?.endpoints[0]?.profile.kvBytesPerToken ?? 1,
    delays: world.delays,
    isolates: world.isolates,
    outages: world.outages.map(({ cluster, fromS, untilS }) => ({
      cluster,
      fromMs: fromS * 1000,
      untilMs: untilS * 1000,
    })),
    stalls: world.stalls,
    adapters: world.adapters,
  }
}

/** `trace`: the requests of the file, for a workload that plays one. */
export function buildWorkload(
  { workload, blockTokens, world }: Scenario,
  seed: number,
  trace: readonly PlayedRequest[] | null,
): Workload {
  const context: WorkloadContext = { seed, blockTokens, regions: world.regions.length }
  switch (workload.kind) {
    case 'shared-prefix':
      return sharedPrefixWorkload(workload, context)
    case 'conversations':
      return conversationsWorkload(workload, context)
    case 'bursts':
      return burstsWorkload(workload, context)
    case 'trace':
      if (trace === null) throw new Error('workload.trace: give the file with --trace')
      return traceWorkload(workload, context, trace)
  }
}
