/** What a policy document says that this deployment cannot do. Its shape has been checked before. */
import type { Issue } from '../../protocol/admin-api.ts'
import type { EdgeConfig } from '../../protocol/edge-config.ts'
import { PRICE_OF_OTHERS, type Policy } from '../../protocol/policy.ts'

/** Names that objects inherit: as keys of a document they are somebody's trick. */
const NAMES_OF_OBJECTS = new Set(['__proto__', 'constructor', 'prototype'])

export function checkPolicy(policy: Policy, config: EdgeConfig): Issue[] {
  const issues: Issue[] = []
  const say = (path: string, message: string) => issues.push({ path, message })
  const regions = new Map(config.regions.map((region) => [region.region, region]))
  const withCluster = new Set(config.clusters.map(({ region }) => region))
  for (const [index, region] of policy.regions.entries()) {
    if (!regions.has(region)) say(`/regions/${index}`, `There is no region '${region}'.`)
  }
  const lawful = policy.regions.filter((region) => {
    const jurisdiction = regions.get(region)?.jurisdiction
    return (
      policy.residency === null || (jurisdiction !== undefined && policy.residency.includes(jurisdiction))
    )
  })
  if (lawful.length === 0) say('/residency', 'None of the regions lies in the jurisdictions of the policy.')
  else if (!lawful.some((region) => withCluster.has(region))) {
    say('/regions', 'None of the regions has a cluster.')
  }
  for (const [alias, model] of Object.entries(policy.aliases)) {
    if (Object.hasOwn(policy.aliases, model))
      say(`/aliases/${alias}`, 'An alias must not lead to another alias.')
    if (!mayUse(policy, model)) say(`/aliases/${alias}`, `The policy does not allow the model '${model}'.`)
  }
  for (const name of [...Object.keys(policy.aliases), ...Object.keys(policy.prices)]) {
    if (NAMES_OF_OBJECTS.has(name)) say('', `'${name}' is no name of a model.`)
  }
  if (policy.budget !== null && Object.keys(policy.prices).length === 0) {
    say('/budget', `Without prices nothing is ever spent; "${PRICE_OF_OTHERS}" prices every model.`)
  }
  return issues
}

/** Whether the policy lets the tenant use a model or adapter. */
export function mayUse({ models, adapters }: Policy, model: string): boolean {
  return models === null || models.includes(model) || adapters.includes(model)
}
