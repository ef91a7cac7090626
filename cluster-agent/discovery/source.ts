/** Where endpoints come from. */
import type { EndpointSpec } from './endpoint-spec.ts'

export type OnEndpoints = (specs: readonly EndpointSpec[]) => void

export interface EndpointSource {
  /** `onEndpoints` hears all endpoints of the source at each change, the first time before this resolves. */
  start(onEndpoints: OnEndpoints): Promise<void>
  stop(): Promise<void>
}
