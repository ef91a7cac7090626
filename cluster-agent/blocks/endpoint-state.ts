/** What the index keeps of each endpoint beside its blocks: stores that wait for a parent, and the groups of its model. */
import { EndpointGroups } from './endpoint-groups.ts'
import { OrphanStore } from './orphans.ts'
import { ENDPOINTS_MAX } from './residency.ts'

export interface EndpointState {
  readonly number: number
  readonly orphans: OrphanStore
  readonly groups: EndpointGroups
}

export function endpointStates(endpoints: number): EndpointState[] {
  return Array.from({ length: endpoints }, (_, number) => ({
    number,
    orphans: new OrphanStore(),
    groups: new EndpointGroups(number, ENDPOINTS_MAX),
  }))
}
