/** Names that more than one message uses, with their bounds. */
import { z } from 'zod'

/** A region, cluster, tenant or endpoint name: lower case, digits, dots and hyphens. */
export const nameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, 'lower-case letters, digits, dots and hyphens, at most 63')

/** A model or adapter name as vLLM serves it. */
export const MODEL_CHARS_MAX = 256
export const modelNameSchema = z.string().min(1).max(MODEL_CHARS_MAX)

/** 64 bits as 16 lower-case hexadecimal digits: hashes never travel as JavaScript numbers. */
export const hex64Schema = z.string().regex(/^[0-9a-f]{16}$/)

export const requestIdSchema = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/)

/** The most clusters that one directory can tell apart: a residency entry has 16 nibbles. */
export const CLUSTERS_MAX = 16

/** The most models and adapters that one cluster may announce. */
export const MODELS_MAX = 256

/** The most markers of one prompt: `core/prefix-markers.ts` stays below it for a 32 MiB body. */
export const MARKERS_MAX = 192

/** The largest request body that the edge takes: 32 MiB. */
export const BODY_BYTES_MAX = 32 * 1024 * 1024
