/** A file of endpoints, as it lies on disk: profiles may be named once and used by many. */
import { z } from 'zod'
import { endpointSchema, profileSchema, type EndpointSpec } from './endpoint-spec.ts'

const ENDPOINTS_MAX = 256

const fileSchema = z.strictObject({
  profiles: z.record(z.string(), profileSchema).default({}),
  endpoints: z
    .array(
      endpointSchema.extend({
        profile: z.union([z.string(), profileSchema]),
        serving: z.boolean().default(true).describe('false: the endpoint drains'),
      }),
    )
    .max(ENDPOINTS_MAX),
})

export type FileReading =
  | { readonly kind: 'endpoints'; readonly specs: readonly EndpointSpec[] }
  | { readonly kind: 'invalid'; readonly faults: readonly string[] }

/** `file` is the parsed YAML. */
export function readEndpoints(file: unknown): FileReading {
  const parsed = fileSchema.safeParse(file)
  if (!parsed.success) {
    return {
      kind: 'invalid',
      faults: parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'file'}: ${message}`),
    }
  }
  const { profiles, endpoints } = parsed.data
  const faults: string[] = []
  const names = new Set<string>()
  const specs = endpoints.flatMap(({ profile, serving, ...spec }): EndpointSpec[] => {
    const known = typeof profile === 'string' ? profiles[profile] : profile
    if (!known) faults.push(`${spec.endpoint}: no profile ${JSON.stringify(profile)}`)
    if (names.has(spec.endpoint)) faults.push(`${spec.endpoint}: named twice`)
    names.add(spec.endpoint)
    return known ? [{ ...spec, profile: known, isServing: serving }] : []
  })
  return faults.length > 0 ? { kind: 'invalid', faults } : { kind: 'endpoints', specs }
}
