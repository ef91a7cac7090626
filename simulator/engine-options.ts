/** Options of one simulated engine, and what a generation needs to know of the engine that it runs in. */
import { z } from 'zod'
import type { Engine } from './engine.ts'
import type { ResponseStore } from './response-store.ts'
import { engineProfileSchema, type EngineProfile } from './engine/profile.ts'
import { ENGINE_VERSIONS } from './wire/engine-version.ts'
import type { TransferSource } from './wire/transfer-params.ts'

const portSchema = z.int().min(0).max(65_535).default(0)

export const engineOptionsSchema = z.object({
  name: z.string().min(1).max(200),
  host: z.string().min(1).default('127.0.0.1'),
  port: portSchema.describe('HTTP; 0 takes a free one'),
  eventsPort: portSchema.describe('ZMQ PUB'),
  replayPort: portSchema.describe('ZMQ ROUTER'),
  sideChannelPort: portSchema.describe('Between prefill and decode engines'),
  model: z.string().min(1).max(200).default('isotherm-demo'),
  version: z.enum(ENGINE_VERSIONS).default('0.32.0'),
  profile: engineProfileSchema.prefault({}),
  speed: z.number().positive().max(10_000).default(1).describe('Divides every duration of the profile'),
  topic: z.string().max(500).default(''),
  cacheDetails: z.boolean().default(true).describe('--enable-prompt-tokens-details'),
  hasConnector: z.boolean().default(true).describe('Whether hand-offs work: a NIXL connector is configured'),
  keepsResponses: z.boolean().default(true).describe('VLLM_ENABLE_RESPONSES_API_STORE'),
  streamInterval: z
    .int()
    .positive()
    .optional()
    .describe(
      'Tokens of one stream chunk; by default the speed, at most 4, so that chunks come at a real pace',
    ),
})
export type EngineOptions = z.infer<typeof engineOptionsSchema>

/** What a caller gives: everything but the name has a default, the profile down to its fields. */
export type EngineOptionsInput = Partial<Omit<EngineOptions, 'profile'>> & {
  readonly name: string
  readonly profile?: Partial<EngineProfile>
}

/** What goes wrong on purpose; a test sets it. */
export interface EngineFaults {
  /** Requests are accepted and never answered. */
  silent: boolean
  /** Batches of events that are numbered but not sent. */
  dropEvents: (seq: number) => boolean
  /** Milliseconds for which a batch of events is held back, and all behind it; asked again and again while it is. */
  delayEventsMs: (seq: number) => number
  /** Generation requests answer with this status. */
  failStatus: number | null
}

/** The engine as its request routes see it. */
export interface EngineHost {
  readonly options: EngineOptions
  readonly engine: Engine
  readonly contextTokensMax: number
  readonly fingerprint: string
  readonly startS: number
  readonly engineId: string
  readonly sideChannelPort: number
  readonly eventsEndpoint: string
  readonly replayEndpoint: string
  readonly faults: EngineFaults
  /** Requests in flight. */
  load: number
  /** Decode legs that wait for ever for want of a `remote_request_id`. */
  readonly hung: Set<object>
  readonly responses: ResponseStore
  /** Transfers whose KV is not read yet, by the request that waits for it. */
  readonly transfers: TransferDesk
  crash(): void
}

/** Keeps leases alive while a decode leg waits, and lets go when its KV is here. */
export interface TransferDesk {
  add(id: string, source: TransferSource): void
  end(id: string): void
}
