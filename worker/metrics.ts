/** `GET /metrics`: what the regions' receipts have counted, as Prometheus reads it. */
import type { MetricsSnapshot } from '../protocol/receipt-record.ts'
import type { Edge } from './env.ts'
import { flush } from './flush.ts'
import { metricsText, type RegionMetrics } from './admin/prometheus.ts'
import { settledWithin } from './settled-within.ts'

const METRICS_MS_MAX = 2000

/** A region that does not answer is down in the text, and the others are there. */
export async function metricsResponse(edge: Edge): Promise<Response> {
  await flush(edge)
  const regions = await Promise.all(
    [...edge.regions.keys()].map(async (region): Promise<RegionMetrics> => {
      const asking: Promise<MetricsSnapshot | null> =
        edge
          .receiptsOf(region)
          ?.metrics()
          .catch(() => null) ?? Promise.resolve(null)
      return { region, snapshot: (await settledWithin(asking, METRICS_MS_MAX)) ? await asking : null }
    }),
  )
  return new Response(metricsText(regions), {
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
  })
}
