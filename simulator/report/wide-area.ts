/** What a request moves between regions. Reports and heartbeats of the directories come on top and are not counted. */
import { BYTES_PER_TOKEN } from '../policies/markers.ts'
import type { Outcome } from '../world/request.ts'

/** One server-sent event of a streamed answer, a token each, as `wire/stream-chunk.ts` writes it. */
export const STREAM_BYTES_PER_TOKEN = 243

/** Prompt and answer, once for each way that leaves the caller's region: to the cluster, and by a central proxy. */
export function wideAreaBytes(
  { request, cluster, detourMs }: Outcome,
  regionOf: (cluster: number) => number,
): number {
  const ways = (regionOf(cluster) === request.region ? 0 : 1) + (detourMs > 0 ? 1 : 0)
  return ways * (request.promptTokens * BYTES_PER_TOKEN + request.outputTokens * STREAM_BYTES_PER_TOKEN)
}
