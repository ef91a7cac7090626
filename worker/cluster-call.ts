/**
 * One HTTP call to a cluster. Where it goes is configuration alone: no byte of a request has a part in the host, and a
 * redirect is not followed. A cluster with a `binding` is called through it: an mTLS certificate, a VPC service, another
 * Worker.
 */
import type { ClusterConfig } from '../protocol/edge-config.ts'
import type { Edge } from './env.ts'

/** The path that every agent answers without an envelope. */
const HEALTH_PATH = '/healthz'
const PROBE_MS_MAX = 5000

export interface ClusterRequest {
  readonly method: 'GET' | 'POST'
  readonly headers: Record<string, string>
  readonly body: Uint8Array | null
  readonly signal: AbortSignal
}

/** `path` is one of our own table, or leads to a response whose id we have signed. */
export function callCluster(
  edge: Edge,
  config: ClusterConfig,
  edgeRegion: string,
  path: string,
  request: ClusterRequest,
): Promise<Response> {
  const base = config.entrances[edgeRegion] ?? config.url
  const url = `${base.endsWith('/') ? base.replace(/\/+$/, '') : base}${path}`
  const init = { ...request, redirect: 'manual' as const }
  const fetcher = config.binding === undefined ? undefined : edge.fetchers.get(config.binding)
  return fetcher ? fetcher.fetch(url, init) : fetch(url, init)
}

/**
 * Whether the path to a cluster works: heard of within `ageMs`, or it answers anything now. Streams are piped without
 * looking at their chunks, so this is how a path that died in silence is noticed.
 */
export async function isReachable(
  edge: Edge,
  cluster: string,
  edgeRegion: string,
  ageMs: number,
): Promise<boolean> {
  if (edge.lastHeard.isWithin(cluster, ageMs, Date.now())) return true
  const config = edge.clusters.get(cluster)
  if (!config) return false
  const signal = AbortSignal.timeout(Math.min(ageMs, PROBE_MS_MAX))
  try {
    const request = { method: 'GET', headers: {}, body: null, signal } as const
    const response = await callCluster(edge, config, edgeRegion, HEALTH_PATH, request)
    response.body?.cancel().catch(() => undefined)
  } catch {
    return false
  }
  edge.lastHeard.hear(cluster, Date.now())
  return true
}
