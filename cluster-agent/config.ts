/** The agent's configuration: a YAML file, and secrets from the environment. Parsed once at start, then frozen. */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { z } from 'zod'
import { modelNameSchema, nameSchema } from '../protocol/ids.ts'
import { pricesSchema } from '../protocol/report.ts'
import { endpointSchema } from './discovery/endpoint-spec.ts'
import { kubernetesSchema } from './discovery/kubernetes-config.ts'

export type { EndpointConfig } from './discovery/endpoint-spec.ts'

const ENDPOINTS_MAX = 256

const { shape: price } = pricesSchema
const pricesConfigSchema = z.strictObject({
  uncachedUsdPerMTokens: price.uncachedUsdPerMTokens.describe(
    'USD for a million prompt tokens that had to be prefilled',
  ),
  cachedUsdPerMTokens: price.cachedUsdPerMTokens.describe(
    'USD for a million prompt tokens that came from cache',
  ),
  outputUsdPerMTokens: price.outputUsdPerMTokens.describe('USD for a million tokens of answers'),
})

const modelSchema = z.strictObject({
  model: modelNameSchema.describe('Name that the engines serve'),
  adapterOf: modelNameSchema.optional().describe('Base model, when this is a LoRA adapter'),
  tokenizerDir: z
    .string()
    .optional()
    .describe('Folder with tokenizer.json and tokenizer_config.json; default: ask an engine'),
  contextTokensMax: z.int().positive().describe('Longest prompt and answer together'),
  kvBytesPerToken: z.number().positive().describe('KV bytes of one token'),
  prices: pricesConfigSchema
    .optional()
    .describe('What the cluster asks for the model; told to the directories'),
})
export type ModelConfig = z.infer<typeof modelSchema>

const listenSchema = z.strictObject({
  host: z.string().default('127.0.0.1').describe('Address to listen on'),
  port: z.int().min(0).max(65_535).describe('Port to listen on; 0: any free one'),
})

const tracingSchema = z.strictObject({
  otlpUrl: z.url({ protocol: /^https?$/ }).describe('Where spans go: http://collector:4318/v1/traces'),
  sampleRatio: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('Share of requests that begin a trace; those that continue one follow it'),
})

export const fileSchema = z.strictObject({
  cluster: nameSchema.describe('Name of the cluster, as the edge knows it'),
  region: nameSchema.describe('Region that it stands in'),
  listen: listenSchema.extend({
    host: z.string().default('0.0.0.0').describe('Address to listen on'),
  }),
  admin: listenSchema
    .optional()
    .describe('Address of its own for /metrics and /debug; who reaches it may read them without a token'),
  logLevel: z
    .enum(['error', 'warn', 'info', 'debug'])
    .default('info')
    .describe('What is logged, as lines of JSON on standard error; debug has a line for each request'),
  tracing: tracingSchema
    .optional()
    .describe('Spans of requests, by OTLP over HTTP; without it none are made'),
  directories: z
    .array(z.strictObject({ region: nameSchema, url: z.url({ protocol: /^https?$/ }) }))
    .max(64)
    .default([])
    .describe('Regional directories to report to: every one of them'),
  models: z.array(modelSchema).min(1).max(256).describe('Models that the engines serve'),
  endpoints: z.array(endpointSchema).max(ENDPOINTS_MAX).default([]).describe('Engines that stay'),
  discovery: z
    .strictObject({
      file: z.string().min(1).optional().describe('YAML file of endpoints, read again when it changes'),
      kubernetes: kubernetesSchema.optional().describe('Engines of an InferencePool or of Services'),
    })
    .optional()
    .describe('Engines that come and go'),
  endpointsMax: z
    .int()
    .min(1)
    .max(ENDPOINTS_MAX)
    .default(64)
    .describe(
      'The most endpoints at one time, those included that still end; memory of the index grows with it',
    ),
  eventsBind: z
    .string()
    .startsWith('tcp://')
    .optional()
    .describe('ZMQ endpoint to bind for engines that dial in with their KV events'),
  standalone: z
    .strictObject({ tenant: nameSchema, shareScope: z.string().min(1).max(128) })
    .optional()
    .describe('Take requests without an envelope, all of one tenant: for use without the edge'),
  admission: z
    .strictObject({
      holdMs: z
        .number()
        .positive()
        .default(500)
        .describe('Work that waits at each endpoint before further requests are held in the agent'),
      waitMsMax: z.int().positive().default(60_000).describe('The longest that a request is held'),
      requestsMax: z.int().min(1).max(65_536).default(1024).describe('The most requests that are held'),
      bytesMax: z
        .int()
        .positive()
        .default(256 * 1024 * 1024)
        .describe('The most bytes of bodies that are held'),
    })
    .prefault({})
    .describe('What happens above the knee'),
  stateDir: z
    .string()
    .optional()
    .describe('Folder in which what was learnt survives a restart; default: nowhere'),
  unsaltedMessages: z
    .boolean()
    .default(false)
    .describe(
      'Also send /v1/messages to engines that share their cache between tenants there: vLLM before 0.27',
    ),
  silenceMsMax: z
    .int()
    .positive()
    .default(5000)
    .describe('Silence of an engine beyond the prediction before another is tried'),
  silenceFactor: z
    .number()
    .min(1)
    .default(3)
    .describe('Multiple of the predicted TTFT that silence may take as well'),
  bodyBytesMax: z
    .int()
    .positive()
    .default(32 * 1024 * 1024)
    .describe('Largest request body'),
})

export const secretsSchema = z.object({
  ISOTHERM_ENVELOPE_SECRET: z.string().min(16).describe('Shared with the edge: signs envelopes'),
  ISOTHERM_ENVELOPE_SECRET_PREVIOUS: z
    .string()
    .min(16)
    .optional()
    .describe('Taken too while the edge changes to the current one'),
  ISOTHERM_PREFIX_SECRET: z.string().min(16).describe('Shared with the edge: keys prefixes and salts'),
  ISOTHERM_CLUSTER_TOKEN: z
    .string()
    .min(1)
    .describe('Known to the directories: proves which cluster this is'),
  ISOTHERM_ADMIN_TOKEN: z
    .string()
    .min(16)
    .optional()
    .describe(
      'Bearer token for /metrics and /debug on the address for requests; without it they are not there',
    ),
})

export interface AgentConfig extends z.infer<typeof fileSchema> {
  readonly secrets: {
    /** The current one, then the one before. */
    readonly envelopes: readonly string[]
    readonly prefix: string
    readonly clusterToken: string
    readonly admin: string | null
  }
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** Throws `ConfigError` naming every field at fault; never shows a secret. */
export function parseAgentConfig(
  file: unknown,
  env: Readonly<Record<string, string | undefined>>,
): AgentConfig {
  const parsed = fileSchema.safeParse(file)
  const secrets = secretsSchema.safeParse(env)
  const issues = [...(parsed.error?.issues ?? []), ...(secrets.error?.issues ?? [])]
  if (!parsed.success || !secrets.success) {
    throw new ConfigError(
      issues.map(({ path, message }) => `${path.join('.') || 'file'}: ${message}`).join('\n'),
    )
  }
  const names = parsed.data.endpoints.map(({ endpoint }) => endpoint)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  const { discovery } = parsed.data
  if (names.length === 0 && !discovery?.file && !discovery?.kubernetes)
    throw new ConfigError('endpoints: none is named, and nothing finds any (discovery)')
  if (twice) throw new ConfigError(`endpoints: ${twice} is named twice`)
  return Object.freeze({
    ...parsed.data,
    secrets: {
      envelopes: [
        secrets.data.ISOTHERM_ENVELOPE_SECRET,
        secrets.data.ISOTHERM_ENVELOPE_SECRET_PREVIOUS ?? [],
      ].flat(),
      prefix: secrets.data.ISOTHERM_PREFIX_SECRET,
      clusterToken: secrets.data.ISOTHERM_CLUSTER_TOKEN,
      admin: secrets.data.ISOTHERM_ADMIN_TOKEN ?? null,
    },
  })
}

export async function readAgentConfig(
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<AgentConfig> {
  let file: unknown
  try {
    file = parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new ConfigError(`${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
  return parseAgentConfig(file, env)
}
