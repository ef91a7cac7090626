/** What must happen for the present endpoints to become the wanted ones. */
import type { EndpointSpec } from './endpoint-spec.ts'

export interface PresentEndpoint {
  readonly number: number
  readonly spec: EndpointSpec
}

export interface EndpointChanges {
  readonly opened: readonly EndpointSpec[]
  readonly updated: readonly PresentEndpoint[]
  /** Numbers of those that are gone or live another life: one that comes again gets another number. */
  readonly retired: readonly number[]
}

/** Endpoints are known by name; of two wanted ones with one name the first counts. */
export function changesBetween(
  present: readonly PresentEndpoint[],
  wanted: readonly EndpointSpec[],
): EndpointChanges {
  const byName = new Map<string, EndpointSpec>()
  for (const spec of wanted) if (!byName.has(spec.endpoint)) byName.set(spec.endpoint, spec)
  const updated: PresentEndpoint[] = []
  const retired: number[] = []
  for (const { number, spec } of present) {
    const next = byName.get(spec.endpoint)
    if (!next || !isSameLife(spec, next)) {
      retired.push(number)
      continue
    }
    byName.delete(spec.endpoint)
    if (JSON.stringify(spec) !== JSON.stringify(next)) updated.push({ number, spec: next })
  }
  return { opened: [...byName.values()], updated, retired }
}

/** Another address or incarnation is another cache. */
function isSameLife(a: EndpointSpec, b: EndpointSpec): boolean {
  return a.url === b.url && a.events === b.events && a.replay === b.replay && a.incarnation === b.incarnation
}
