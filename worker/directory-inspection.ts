/** What operators see of a region's directory, and what its ingress needs of the edge. */
import { RouteError } from '../protocol/errors.ts'
import type { DirectoryInspection } from '../protocol/lookup.ts'
import type { Edge } from './env.ts'
import { settledWithin } from './settled-within.ts'

const INSPECTION_MS_MAX = 2000

/** One object of the region, the first when `shard` is not given. Throws `RouteError` when it is not there or silent. */
export async function inspectDirectory(
  edge: Edge,
  region: string,
  shard = '0',
): Promise<DirectoryInspection & { readonly shards: number }> {
  const objects = edge.directories.all(region)
  const object = objects[Number(shard)]
  if (!object) throw new RouteError('not_found', 'no directory of that name')
  const inspecting = object.open().inspect()
  if (!(await settledWithin(inspecting, INSPECTION_MS_MAX))) {
    throw new RouteError('no_cluster', 'the directory does not answer')
  }
  return { shards: objects.length, ...(await inspecting) }
}

export function ingressSettings({ clusterTokens, directories }: Edge) {
  return {
    clusterTokens,
    layoutOf: (region: string) => directories.layout(region),
    objectOf: (region: string, name: string) => directories.named(region, name)?.open() ?? null,
  }
}
