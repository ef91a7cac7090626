/** `GET /v1/models` in OpenAI's form and in Anthropic's: what the clusters of the tenant's regions serve and its policy allows. */
import type { ActiveTenant } from '../protocol/tenancy.ts'
import { RouteError } from '../protocol/errors.ts'
import { mayUse } from './admin/check-policy.ts'
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
      if (!mayUse(policy, model)) continue
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

/** https://docs.anthropic.com/en/api/models-list: one page holds them all. */
export function anthropicList(models: readonly ListedModel[]): object {
  return {
    data: models.map(anthropicModel),
    has_more: false,
    first_id: models[0]?.id ?? null,
    last_id: models.at(-1)?.id ?? null,
  }
}

export function anthropicModel({ id }: ListedModel): object {
  return { type: 'model', id, display_name: id, created_at: '1970-01-01T00:00:00Z' }
}
