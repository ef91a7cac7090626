/**
 * Where agents dial in: `GET /internal/directory/:region?cluster=` with the cluster's bearer token. A wrong token is
 * refused before the upgrade; the socket itself goes to the region's object.
 */
import { Hono } from 'hono'
import { equalSecrets } from '../core/equal-secrets.ts'
import { RouteError } from '../protocol/errors.ts'
import { nameSchema } from '../protocol/ids.ts'
import { REPORT_PATH } from '../protocol/report.ts'

export interface DirectorySettings {
  readonly clusterTokens: ReadonlyMap<string, string>
  /** null when there is no such region. */
  readonly directoryOf: (region: string) => Pick<Fetcher, 'fetch'> | null
}

const TOKEN_CHARS_MAX = 1024
/** Compared with when the cluster is unknown, so that both cases take the same way. */
const NO_TOKEN = 'no such cluster'.padEnd(48, '.')

/** The route, mounted by the Worker; `settings` reads its bindings. Faults are thrown as `RouteError`. */
export function directoryIngress<B extends object>(
  settings: (bindings: B) => DirectorySettings,
): Hono<{ Bindings: B }> {
  const ingress = new Hono<{ Bindings: B }>()
  ingress.get(`${REPORT_PATH}/:region`, (c) => {
    const { clusterTokens, directoryOf } = settings(c.env)
    const token = /^Bearer (\S+)$/.exec(c.req.header('authorization') ?? '')?.[1]
    if (token === undefined || token.length > TOKEN_CHARS_MAX) {
      throw new RouteError('missing_api_key', 'a report stream needs the bearer token of its cluster')
    }
    const cluster = nameSchema.safeParse(c.req.query('cluster'))
    const expected = cluster.success ? clusterTokens.get(cluster.data) : undefined
    const isEqual = equalSecrets(token, expected ?? NO_TOKEN)
    if (!cluster.success || expected === undefined || !isEqual) {
      throw new RouteError('forbidden', 'the token is not that of the cluster')
    }
    if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
      throw new RouteError('invalid_request', 'a report stream is a WebSocket')
    }
    const directory = directoryOf(c.req.param('region'))
    if (directory === null) throw new RouteError('not_found', 'no directory of that name')
    return directory.fetch(`https://directory/?cluster=${cluster.data}`, {
      headers: { upgrade: 'websocket' },
    })
  })
  return ingress
}
