/** What the directories tell the edges about one model of the cluster. */
import { tierByName } from '../../core/tiers.ts'
import type { ModelOffer, Prices } from '../../protocol/report.ts'
import type { EndpointProfile } from '../routing/endpoint.ts'

/** A model as it is configured. */
interface OfferedModel extends Pick<ModelOffer, 'model' | 'kvBytesPerToken' | 'contextTokensMax'> {
  readonly adapterOf?: string | undefined
  readonly prices?: Prices | undefined
}

export function offerOf(
  { model, kvBytesPerToken, contextTokensMax, adapterOf, prices }: OfferedModel,
  bytesPerToken: number,
  { prefill, tiers }: Pick<EndpointProfile, 'prefill' | 'tiers'>,
): ModelOffer {
  return {
    model,
    bytesPerToken,
    kvBytesPerToken,
    contextTokensMax,
    prefill,
    tiers: Object.fromEntries(Object.entries(tiers).filter(([name]) => tierByName(name))),
    ...(adapterOf === undefined ? {} : { adapterOf }),
    ...(prices === undefined ? {} : { prices }),
  }
}
