/**
 * Where agents dial in: `GET /internal/directory/:region?cluster=` with the cluster's bearer token. A wrong token is
 * refused before the upgrade; the socket itself goes to the region's object, or to the shard that `layout` and `shard`
 * name. `GET /internal/directory/:region/layout` says which layout is the present one.
 */
import { Hono } from 'hono'
import { equalSecrets } from '../core/equal-secrets.ts'
import { RouteError } from '../protocol/errors.ts'
import { nameSchema } from '../protocol/ids.ts'
import { REPORT_PATH } from '../protocol/report.ts'
import { layoutTagSchema, type ShardLayout } from '../protocol/shard-layout.ts'

export interface DirectorySettings {
  readonly clusterTokens: ReadonlyMap<string, string>
  /** null when there is no such region. */
  readonly layoutOf: (region: string) => ShardLayout | null
  readonly objectOf: (region: string, name: string) => Pick<Fetcher, 'fetch'> | null
}

const TOKEN_CHARS_MAX = 1024
/** Compared with when the cluster is unknown, so that both cases take the same way. */
const NO_TOKEN = 'no such cluster'.padEnd(48, '.')

/** The routes, mounted by the Worker; `settings` reads its bindings. Faults are thrown as `RouteError`. */
export function directoryIngress<B extends object>(
  settings: (bindings: B) => DirectorySettings,
): Hono<{ Bindings: B }> {
  const ingress = new Hono<{ Bindings: B }>()
  ingress.get(`${REPORT_PATH}/:region/layout`, (c) => {
    const { clusterTokens, layoutOf } = settings(c.env)
    authorise(clusterTokens, c.req.header('authorization'), c.req.query('cluster'))
    const layout = layoutOf(c.req.param('region'))
    if (layout === null) throw noDirectory()
    return c.json(layout)
  })
  ingress.get(`${REPORT_PATH}/:region`, (c) => {
    const { clusterTokens, layoutOf, objectOf } = settings(c.env)
    const cluster = authorise(clusterTokens, c.req.header('authorization'), c.req.query('cluster'))
    if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
      throw new RouteError('invalid_request', 'a report stream is a WebSocket')
    }
    const region = c.req.param('region')
    const layout = layoutOf(region)
    if (layout === null) throw noDirectory()
    const object = objectOf(region, objectName(region, c.req.query('layout'), c.req.query('shard')))
    if (object === null) throw noDirectory()
    return object.fetch(`https://directory/?cluster=${cluster}`, { headers: { upgrade: 'websocket' } })
  })
  return ingress
}

/** The cluster whose token this is. */
function authorise(
  clusterTokens: ReadonlyMap<string, string>,
  authorization: string | undefined,
  clusterField: string | undefined,
): string {
  const token = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1]
  if (token === undefined || token.length > TOKEN_CHARS_MAX) {
    throw new RouteError('missing_api_key', 'a report stream needs the bearer token of its cluster')
  }
  const cluster = nameSchema.safeParse(clusterField)
  const expected = cluster.success ? clusterTokens.get(cluster.data) : undefined
  const isEqual = equalSecrets(token, expected ?? NO_TOKEN)
  if (!cluster.success || expected === undefined || !isEqual) {
    throw new RouteError('forbidden', 'the token is not that of the cluster')
  }
  return cluster.data
}

/**
 * An agent may name another layout than the present one: it serves edges whose configuration is older than this one's,
 * or newer.
 */
function objectName(region: string, tag: string | undefined, shardField: string | undefined): string {
  if (tag === undefined || tag === 's1') return region
  const shard = /^\d{1,2}$/.test(shardField ?? '') ? Number(shardField) : -1
  const isTag = layoutTagSchema.safeParse(tag).success
  const shards = Number(/^s(\d+)/.exec(tag)?.[1] ?? 0)
  if (!isTag || shard < 0 || shard >= shards) {
    throw new RouteError('invalid_request', 'no such layout or shard')
  }
  return `${region}.${tag}.${shard}`
}

function noDirectory(): RouteError {
  return new RouteError('not_found', 'no directory of that name')
}
