/**
 * What the agent tells about itself by GET, and to whom. Health and models are for everybody; metrics and debug routes name
 * endpoints and tenants' load, so they need the bearer token, or the address that is for them alone. Never prompt text.
 */
import { TIERS } from '../core/tiers.ts'
import { equalSecrets } from '../core/equal-secrets.ts'
import type { Cluster } from './cluster.ts'
import type { Learner } from './learner.ts'
import type { AgentMetrics } from './metrics.ts'
import type { PoolView } from './pool-view.ts'
import { DIAGNOSES } from './prompt/parity.ts'

export interface InspectionAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

export interface InspectionParts {
  readonly cluster: Cluster
  readonly learner: Learner
  readonly pool: PoolView
  readonly metrics: AgentMetrics
}

const JSON_TYPE = 'application/json'
const ROUTES_MAX_DEFAULT = 32

type Route = (query: URLSearchParams) => InspectionAnswer | Promise<InspectionAnswer>

export class Inspection {
  readonly #open: ReadonlyMap<string, Route>
  readonly #guarded: ReadonlyMap<string, Route>
  readonly #token: string | null

  constructor({ cluster, learner, pool, metrics }: InspectionParts) {
    const { decisions } = cluster
    this.#token = cluster.config.secrets.admin
    this.#open = new Map<string, Route>([
      ['/healthz', () => health(cluster)],
      ['/v1/models', () => json(models(cluster))],
    ])
    this.#guarded = new Map<string, Route>([
      [
        '/metrics',
        async () => ({ status: 200, contentType: metrics.contentType, body: await metrics.text() }),
      ],
      ['/debug/residency', () => json(residency(cluster))],
      ['/debug/endpoints', () => json({ endpoints: pool.endpoints(), totals: pool.totals() })],
      ['/debug/cost', () => json(cost(cluster))],
      ['/debug/prompts', () => json(prompts(cluster, learner))],
      [
        '/debug/route',
        (query) => json({ total: decisions.total, decisions: decisions.recent(limitOf(query)) }),
      ],
    ])
  }

  /**
   * null for a path that is not one of these, or is not for the asker: who may not see it does not learn that it is there.
   * `isTrusted`: the question came in by the address that is for them alone.
   */
  answer(
    url: string,
    authorization: string | undefined,
    isTrusted: boolean,
  ): Promise<InspectionAnswer> | null {
    const [path = '', query = ''] = url.split('?', 2)
    const open = this.#open.get(path)
    const route = open ?? (isTrusted || this.#knows(authorization) ? this.#guarded.get(path) : undefined)
    return route ? Promise.resolve(route(new URLSearchParams(query))) : null
  }

  #knows(authorization: string | undefined): boolean {
    const given = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1]
    return this.#token !== null && given !== undefined && equalSecrets(given, this.#token)
  }
}

function json(body: unknown, status = 200): InspectionAnswer {
  return { status, contentType: JSON_TYPE, body: JSON.stringify(body) }
}

function limitOf(query: URLSearchParams): number {
  const limit = Number(query.get('limit') ?? ROUTES_MAX_DEFAULT)
  return Number.isInteger(limit) && limit > 0 ? limit : ROUTES_MAX_DEFAULT
}

function health(cluster: Cluster): InspectionAnswer {
  const open = cluster.endpoints.filter(({ number }) => cluster.unavailable(number) === null).length
  return json({ status: open > 0 ? 'ok' : 'no endpoint', endpoints: open }, open > 0 ? 200 : 503)
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

/** What the choice believes of each endpoint's speed, as configured and learnt, and its load now. */
function cost(cluster: Cluster): unknown {
  const nowMs = performance.now()
  return {
    learnt: cluster.calibration.report(),
    endpoints: cluster.endpoints.map(({ number, name, role, version, profile }) => ({
      endpoint: name,
      role,
      version,
      profile,
      load: cluster.bookings.load(number, nowMs),
    })),
  }
}

/** How prompts are understood: what was learnt of them, and whether our tokens are the engines', aspect by aspect. */
function prompts(cluster: Cluster, learner: Learner): unknown {
  return {
    pending: learner.pending,
    ...learner.counts,
    models: cluster.config.models.map(({ model }) => ({
      model,
      parity: Object.fromEntries(learner.understanding.parity(model)),
      differs: Object.fromEntries(
        [...learner.understanding.parity(model)].flatMap(([aspect, parity]) =>
          parity === 'different' ? [[aspect, DIAGNOSES[aspect]]] : [],
        ),
      ),
    })),
  }
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
