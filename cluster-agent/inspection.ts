/** What the agent tells about itself by GET: models, health, counts. Never prompt text. */
import { TIERS } from '../core/tiers.ts'
import type { Cluster } from './cluster.ts'

/** null for a path that is not one of these. */
export function inspect(cluster: Cluster, path: string): { status: number; body: unknown } | null {
  if (path === '/healthz') return health(cluster)
  if (path === '/v1/models') return { status: 200, body: models(cluster) }
  if (path === '/debug/residency') return { status: 200, body: residency(cluster) }
  return null
}

function health(cluster: Cluster): { status: number; body: unknown } {
  const open = cluster.endpoints.filter(({ number }) => cluster.unavailable(number) === null).length
  return { status: open > 0 ? 200 : 503, body: { status: open > 0 ? 'ok' : 'no endpoint', endpoints: open } }
}

function models(cluster: Cluster): unknown {
  const data = cluster.config.models.map(({ model, adapterOf, contextTokensMax }) => ({
    id: model,
    object: 'model',
    created: 0,
    owned_by: 'isotherm',
    parent: adapterOf ?? null,
    max_model_len: contextTokensMax,
  }))
  return { object: 'list', data }
}

function residency(cluster: Cluster): unknown {
  return {
    bookings: cluster.bookings.count,
    models: cluster.states.map(({ index, ledger, ratio }) => ({
      blocks: index.table.size,
      blockTokens: index.blockTokens,
      markers: ledger.size,
      bytesPerToken: ratio.bytesPerToken,
      ...index.counts,
      endpoints: cluster.endpoints.map(({ name, number }) => ({
        endpoint: name,
        unavailable: cluster.unavailable(number),
        ...Object.fromEntries(
          TIERS.map((tier) => [tier.name, index.residentHashes(number, tier.number).length]),
        ),
      })),
    })),
  }
}
