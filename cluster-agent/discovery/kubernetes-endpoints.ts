/**
 * Kubernetes objects -> endpoints. Every pair of an address and a port is one, and with several ranks behind a port every
 * rank: residency is known for each. The pod's UID is the incarnation.
 */
import type { Role } from '../routing/endpoint.ts'
import type { EndpointSpec } from './endpoint-spec.ts'
import type { KubernetesConfig } from './kubernetes-config.ts'
import type { EndpointSlice, InferencePool, Pod } from './kubernetes-objects.ts'

export interface Found {
  readonly specs: readonly EndpointSpec[]
  /** What is there and cannot be used, with the reason. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
}

/** Values of `llm-d.ai/role`. An encode-only pod answers no text. */
const ROLES: Readonly<Record<string, Role>> = {
  prefill: 'prefill',
  decode: 'decode',
  both: 'both',
  'prefill-decode': 'both',
  'encode-prefill': 'prefill',
  'encode-prefill-decode': 'both',
}

/** A pod or an address of a slice, in common terms. */
interface Server {
  readonly name: string
  readonly address: string
  readonly ports: readonly number[]
  readonly labels: Readonly<Record<string, string>>
  readonly uid: string | undefined
  readonly isServing: boolean
}

export function endpointsOfPods(pods: readonly Pod[], pool: InferencePool, config: KubernetesConfig): Found {
  const ports = pool.spec.targetPorts.map(({ number }) => number)
  return collect(
    pods.flatMap(({ metadata, status }): Server[] => {
      const hasEnded = status?.phase === 'Succeeded' || status?.phase === 'Failed'
      if (!status?.podIP || hasEnded) return []
      const isReady = status.conditions?.some(
        ({ type, status: value }) => type === 'Ready' && value === 'True',
      )
      return [
        {
          name: metadata.name,
          address: status.podIP,
          ports,
          labels: metadata.labels ?? {},
          uid: metadata.uid,
          isServing: isReady === true && !metadata.deletionTimestamp,
        },
      ]
    }),
    config,
  )
}

/** A pod may stand in several slices: the one that serves counts. */
export function endpointsOfSlices(slices: readonly EndpointSlice[], config: KubernetesConfig): Found {
  const servers = new Map<string, Server>()
  for (const { metadata, ports, endpoints } of slices) {
    const numbers = (ports ?? []).flatMap(({ port }) => (typeof port === 'number' ? [port] : []))
    for (const { addresses, conditions, targetRef } of endpoints ?? []) {
      const [address = ''] = addresses
      const server: Server = {
        name: targetRef?.name ?? `ip-${address.replaceAll(/[.:]/g, '-')}`,
        address,
        ports: numbers,
        labels: metadata.labels ?? {},
        uid: targetRef?.uid,
        isServing:
          (conditions?.ready ?? true) && (conditions?.serving ?? true) && conditions?.terminating !== true,
      }
      const key = `${server.name}/${address}/${numbers.join()}`
      if (!servers.get(key)?.isServing) servers.set(key, server)
    }
  }
  return collect([...servers.values()], config)
}

function collect(servers: readonly Server[], config: KubernetesConfig): Found {
  const specs: EndpointSpec[] = []
  const skipped: Found['skipped'][number][] = []
  for (const server of servers.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const role = roleOf(server, config)
    const profile = profileOf(server, config)
    if (!role)
      skipped.push({
        name: server.name,
        reason: `role ${server.labels[config.roleLabel] ?? ''} is not known`,
      })
    else if (!profile)
      skipped.push({ name: server.name, reason: `no profile ${server.labels[config.profileLabel] ?? ''}` })
    else if (server.ports.length === 0) skipped.push({ name: server.name, reason: 'no port' })
    else specs.push(...specsOf(server, role, profile, config))
  }
  return { specs, skipped }
}

function specsOf(
  server: Server,
  role: Role,
  profile: KubernetesConfig['profile'],
  config: KubernetesConfig,
): EndpointSpec[] {
  const { eventsPort, replayPort, ranks, revisionLabel, connector, bootstrapPort, peerTierPort } = config
  const host = server.address.includes(':') ? `[${server.address}]` : server.address
  const revision = server.labels[revisionLabel]
  const count = server.ports.length * ranks
  return server.ports.flatMap((port, portAt) =>
    Array.from({ length: ranks }, (_, rankAt): EndpointSpec => {
      const rank = portAt * ranks + rankAt
      return {
        endpoint: endpointName(server.name, count === 1 ? null : rank),
        url: `http://${host}:${port}`,
        role,
        events: `tcp://${host}:${eventsPort + rank}`,
        ...(replayPort === undefined ? {} : { replay: `tcp://${host}:${replayPort + rank}` }),
        ...(ranks > 1 ? { rank: rankAt } : {}),
        ...(revision === undefined ? {} : { revision }),
        ...(connector === undefined ? {} : { connector }),
        ...(bootstrapPort === undefined || role === 'decode'
          ? {}
          : { bootstrap: `http://${host}:${bootstrapPort}`, bootstrapRank: rank }),
        ...(peerTierPort === undefined ? {} : { peerTier: `${host}:${peerTierPort + rank}` }),
        profile,
        incarnation: server.uid ?? server.address,
        isServing: server.isServing,
      }
    }),
  )
}

function roleOf({ labels }: Server, { roleLabel }: KubernetesConfig): Role | null {
  const role = labels[roleLabel]
  return role === undefined ? 'both' : (ROLES[role] ?? null)
}

function profileOf({ labels }: Server, config: KubernetesConfig): KubernetesConfig['profile'] | null {
  const name = labels[config.profileLabel]
  return name === undefined ? config.profile : (config.profiles[name] ?? null)
}

/** Pod names may be longer than our names: the end tells pods of one set apart. */
const NAME_MAX = 63

function endpointName(server: string, rank: number | null): string {
  const suffix = rank === null ? '' : `.${rank}`
  const kept = server.slice(-(NAME_MAX - suffix.length)).replace(/^[^a-z0-9]+/, '')
  return `${kept}${suffix}`
}
