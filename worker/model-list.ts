/** `GET /v1/models` in OpenAI's form: what the clusters of the tenant's regions serve and its policy allows. */
import type { ActiveTenant } from '../protocol/tenancy.ts'
import { RouteError } from '../protocol/errors.ts'
import { askModels } from './directory-client.ts'
import type { Edge } from './env.ts'

export interface ListedModel {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: string
  readonly max_model_len: number
}

/** Throws `no_cluster` when the directory does not answer. */
export async function listModels(
  edge: Edge,
  tenant: ActiveTenant,
  edgeRegion: string,
): Promise<ListedModel[]> {
  const { policy } = tenant
  const clusters = await askModels(edge, edgeRegion)
  if (clusters === null) throw new RouteError('no_cluster', 'The models cannot be listed at the moment.')
  const models = new Map<string, ListedModel>()
  for (const { cluster, models: offered } of clusters) {
    const region = edge.clusters.get(cluster)?.region
    if (region === undefined || !policy.regions.includes(region)) continue
    for (const { model, contextTokensMax } of offered) {
      if (policy.models && !policy.models.includes(model)) continue
      const longest = Math.max(contextTokensMax, models.get(model)?.max_model_len ?? 0)
      models.set(model, {
        id: model,
        object: 'model',
        created: 0,
        owned_by: 'isotherm',
        max_model_len: longest,
      })
    }
  }
  return [...models.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
}
