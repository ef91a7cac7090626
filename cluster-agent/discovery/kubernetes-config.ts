/** Where in Kubernetes the engines are found, and what their objects do not say of them. */
import { z } from 'zod'
import { profileSchema } from './endpoint-spec.ts'

const portSchema = z.int().min(1).max(65_535)
const labelSchema = z.string().min(1).max(317)

export const kubernetesSchema = z
  .strictObject({
    namespace: z.string().min(1).max(63).default('default').describe('Namespace of the objects'),
    inferencePool: z
      .string()
      .min(1)
      .max(253)
      .optional()
      .describe('InferencePool whose selector and target ports name the engines'),
    services: z
      .array(z.string().min(1).max(63))
      .min(1)
      .max(16)
      .optional()
      .describe('Services whose EndpointSlices name the engines; labels are those of the Service'),
    kubeconfig: z
      .string()
      .optional()
      .describe('kubeconfig file; default: the usual places, then the service account of the pod'),
    eventsPort: portSchema.default(5557).describe('Port of KV events of rank 0; rank r is r above it'),
    replayPort: portSchema.optional().describe('Port of the replay of rank 0; rank r is r above it'),
    ranks: z
      .int()
      .min(1)
      .max(64)
      .default(1)
      .describe('Data-parallel ranks behind each port, steered by header; several ports are ranks already'),
    connector: z.enum(['nixl', 'mooncake']).optional().describe('How they hand KV over; default: nixl'),
    bootstrapPort: portSchema
      .optional()
      .describe('Port of the bootstrap server of prefill engines, for mooncake; one for all ranks of a pod'),
    peerTierPort: portSchema
      .optional()
      .describe('Port from which peers may load what the CPU tier of rank 0 holds; rank r is r above it'),
    roleLabel: labelSchema.default('llm-d.ai/role').describe('Label that holds the role; without it: both'),
    revisionLabel: labelSchema
      .default('disaggregatedset.x-k8s.io/revision')
      .describe('Label of the rollout revision; legs of a hand-off need the same'),
    profile: profileSchema.describe('Speed and sizes of the engines'),
    profileLabel: labelSchema
      .default('isotherm.dev/profile')
      .describe('Label that names another profile of `profiles`'),
    profiles: z
      .record(z.string(), profileSchema)
      .default({})
      .describe('Other profiles, for other GPUs, by the value of `profileLabel`'),
  })
  .refine(({ inferencePool, services }) => (inferencePool === undefined) !== (services === undefined), {
    message: 'either inferencePool or services',
  })
  .refine(
    ({ replayPort, eventsPort, ranks }) =>
      replayPort === undefined || Math.abs(replayPort - eventsPort) >= ranks,
    {
      message: 'ports of events and replay overlap: each takes one for every rank',
    },
  )
export type KubernetesConfig = z.infer<typeof kubernetesSchema>
