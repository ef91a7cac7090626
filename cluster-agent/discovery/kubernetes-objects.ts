/**
 * What is read of Kubernetes objects, and no more: the rest may be of any version. An object that does not fit is as good
 * as absent.
 */
import { z } from 'zod'

const metadataSchema = z.object({
  name: z.string(),
  uid: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  deletionTimestamp: z.unknown().optional(),
})

export const podSchema = z.object({
  metadata: metadataSchema,
  status: z
    .object({
      phase: z.string().optional(),
      podIP: z.string().optional(),
      conditions: z.array(z.object({ type: z.string(), status: z.string() })).optional(),
    })
    .optional(),
})
export type Pod = z.infer<typeof podSchema>

/** discovery.k8s.io/v1. Unknown conditions count as true, as the API says, but for `terminating`. */
export const endpointSliceSchema = z.object({
  metadata: metadataSchema,
  ports: z.array(z.object({ name: z.string().nullish(), port: z.int().nullish() })).nullish(),
  endpoints: z
    .array(
      z.object({
        addresses: z.array(z.string()).min(1),
        conditions: z
          .object({
            ready: z.boolean().nullish(),
            serving: z.boolean().nullish(),
            terminating: z.boolean().nullish(),
          })
          .nullish(),
        targetRef: z.object({ name: z.string().optional(), uid: z.string().optional() }).nullish(),
      }),
    )
    .nullish(),
})
export type EndpointSlice = z.infer<typeof endpointSliceSchema>

/** inference.networking.k8s.io/v1. */
export const inferencePoolSchema = z.object({
  metadata: metadataSchema,
  spec: z.object({
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
    targetPorts: z
      .array(z.object({ number: z.int().min(1).max(65_535) }))
      .min(1)
      .max(8),
  }),
})
export type InferencePool = z.infer<typeof inferencePoolSchema>

/** As a query: `a=b,c=d`. */
export function labelSelector({ spec }: InferencePool): string {
  return Object.entries(spec.selector.matchLabels)
    .map(([name, value]) => `${name}=${value}`)
    .toSorted()
    .join(',')
}
