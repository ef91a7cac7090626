/**
 * Asks the region's directory and never waits long: past the bound the request goes on with load a moment old, or with
 * nothing. It never throws: a directory that is slow, restarting or gone costs hits, not answers.
 */
import type { ClusterKnowledge, DirectoryModels, LookupRequest } from '../protocol/lookup.ts'
import type { Edge } from './env.ts'
import { settledWithin } from './settled-within.ts'

/** Nobody prefills while a list of models is awaited. */
const MODELS_MS_MAX = 1000

export interface Knowledge {
  readonly source: 'directory' | 'recent-load' | 'none'
  readonly clusters: readonly ClusterKnowledge[]
}

export async function askDirectory(edge: Edge, region: string, request: LookupRequest): Promise<Knowledge> {
  const asking = lookUp(edge, region, request)
  if (await settledWithin(asking, edge.config.lookupTimeoutMs)) {
    const clusters = await asking
    if (clusters !== null) return { source: 'directory', clusters }
  } else {
    edge.counters.count('lookupsTimedOut')
  }
  const recent = edge.recentLookups.recall(region, request.model, Date.now())
  return recent === null ? { source: 'none', clusters: [] } : { source: 'recent-load', clusters: recent }
}

/** null when the directory fails. An answer that comes too late for this request still serves the next. */
async function lookUp(
  edge: Edge,
  region: string,
  request: LookupRequest,
): Promise<readonly ClusterKnowledge[] | null> {
  try {
    const answer = await edge.directoryOf(region)?.lookup(request)
    if (!answer) return []
    const { clusters, versions } = answer
    edge.versions.learn(versions)
    edge.recentLookups.remember(region, request.model, clusters, Date.now())
    return clusters
  } catch {
    edge.counters.count('lookupsFailed')
    return null
  }
}

/** What the clusters serve, or null when the directory does not say within a second. */
export async function askModels(edge: Edge, region: string): Promise<DirectoryModels['clusters'] | null> {
  const asking = (edge.directoryOf(region)?.models() ?? Promise.resolve({ clusters: [] })).then(
    ({ clusters }) => clusters,
    () => null,
  )
  return (await settledWithin(asking, MODELS_MS_MAX)) ? asking : null
}
