/** The queues of a cluster as its directories are told of them: an edge prices a request with what its agent would choose. */
import { DECODERS_REPORTED_MAX, ENDPOINTS_REPORTED_MAX, type ModelLoad } from '../../protocol/report.ts'
import { disturbanceOf, type Endpoint, type EndpointLoad } from './endpoint.ts'

export interface Standing {
  readonly endpoint: Endpoint
  readonly load: EndpointLoad
}

export interface ClusterQueues extends Pick<
  ModelLoad,
  'backlogMs' | 'otherBacklogsMs' | 'decoders' | 'kvPressure' | 'handoff'
> {
  /** The endpoint with the lowest backlog of those made for prefill; null when nobody takes requests. */
  readonly first: Standing | null
}

/**
 * `heldMs`: work of the agent's queue for each endpoint. It will be booked there: without it edges would see the same few
 * milliseconds above every knee. Endpoints that only decode count apart, by what prefill costs there: an idle one is no
 * short queue for a long prompt.
 */
export function queuesOf(standings: readonly Standing[], heldMs: number, stallShare: number): ClusterQueues {
  const rising = standings.toSorted((a, b) => a.load.backlogMs - b.load.backlogMs)
  const isDecoder = ({ endpoint }: Standing) => endpoint.role === 'decode'
  const prefills = rising.filter((standing) => !isDecoder(standing))
  // Where there is nobody else they are what requests wait for.
  const [first, ...others] = prefills.length > 0 ? prefills : rising
  const decoders = prefills.length > 0 ? rising.filter(isDecoder) : []
  return {
    first: first ?? null,
    backlogMs: (first?.load.backlogMs ?? 0) + heldMs,
    otherBacklogsMs: others.slice(0, ENDPOINTS_REPORTED_MAX).map(({ load }) => load.backlogMs + heldMs),
    kvPressure: first?.load.kvPressure ?? 0,
    decoders: decoders.slice(0, DECODERS_REPORTED_MAX).map(({ endpoint: { profile }, load }) => ({
      backlogMs: load.backlogMs + heldMs,
      ...disturbanceOf(profile, load, stallShare),
    })),
    ...handoffOf(first, decoders),
  }
}

/** The way to the decode endpoint with the lowest backlog, and a step there, since the first token comes from it. */
function handoffOf(first: Standing | undefined, [decoder]: readonly Standing[]): Pick<ModelLoad, 'handoff'> {
  if (first?.endpoint.role !== 'prefill' || !decoder) return {}
  const { transfer, decodeStepMs } = decoder.endpoint.profile
  return { handoff: { ...transfer, floorMs: transfer.floorMs + decodeStepMs } }
}
