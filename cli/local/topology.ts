/**
 * The world that `npm start` builds: three regions, a cluster each, an agent and four engines a cluster, and what the
 * wide area between them costs. Pure: ports and secrets are arguments, configurations come out.
 */
import type { EdgeConfigInput } from '../../protocol/edge-config.ts'

export interface LocalRegion {
  readonly region: string
  readonly cluster: string
  readonly colo: string
  readonly continents: readonly string[]
  readonly locationHint: string
}

export const LOCAL_REGIONS: readonly LocalRegion[] = [
  { region: 'us-east', cluster: 'us-east-1', colo: 'IAD', continents: ['NA', 'SA'], locationHint: 'enam' },
  {
    region: 'eu-central',
    cluster: 'eu-central-1',
    colo: 'FRA',
    continents: ['EU', 'AF'],
    locationHint: 'weur',
  },
  {
    region: 'ap-northeast',
    cluster: 'ap-northeast-1',
    colo: 'NRT',
    continents: ['AS', 'OC'],
    locationHint: 'apac-ne',
  },
]

/** Round trips in ms between AWS us-east-1, eu-central-1 and ap-northeast-1 (public means of 2017). */
const RTT_MS: Readonly<Record<string, number>> = {
  'us-east eu-central': 89,
  'us-east ap-northeast': 145,
  'eu-central ap-northeast': 237,
}
/** An edge location and a region of the same metropolis. */
const RTT_WITHIN_REGION_MS = 5

export function rttBetweenMs(a: string, b: string): number {
  return a === b ? RTT_WITHIN_REGION_MS : (RTT_MS[`${a} ${b}`] ?? RTT_MS[`${b} ${a}`] ?? 0)
}

export const LOCAL_MODEL = 'isotherm-demo'
export const LOCAL_TENANT = 'demo'
/** Invented, so that `GET /v1/usage` has something to say: cached tokens at a tenth, answers at four times. */
const LOCAL_PRICES = { '*': { uncachedUsd: 0.4, cachedUsd: 0.04, outputUsd: 1.6 } }

/** The model that the simulated engines imitate: Qwen3-32B on two H100 each, at `speed` times its pace. */
export function engineProfile(speed: number) {
  return {
    prefill: { fixedMs: 30 / speed, msPerToken: 1 / 15.928 / speed, msPerTokenPair: 2.0e-6 / speed },
    decodeStepMs: 13 / speed,
    decodeMsPerSequence: 0.1 / speed,
    decodeMsPerContextToken: 5.6e-5 / speed,
    kvTokens: 307_328,
    tiers: { cpu: { floorMs: 0, bytesPerMs: 50e6 * speed } },
    transfer: { floorMs: 2 / speed, bytesPerMs: 40e6 * speed },
  }
}
export const KV_BYTES_PER_TOKEN = 262_144
export const CONTEXT_TOKENS_MAX = 131_072

export interface EngineAddress {
  readonly name: string
  readonly url: string
  readonly eventsEndpoint: string
  readonly replayEndpoint: string
}

export const ENGINE_ROLES: Readonly<Record<string, 'prefill' | 'decode'>> = {
  'prefill-0': 'prefill',
  'prefill-1': 'prefill',
  'decode-0': 'decode',
  'decode-1': 'decode',
}

/** The agent's configuration file; YAML takes JSON. `directories` are the URLs under which it dials each region. */
export function agentConfig(input: {
  readonly region: LocalRegion
  readonly port: number
  readonly engines: readonly EngineAddress[]
  readonly directories: readonly { readonly region: string; readonly url: string }[]
  /** Folder of the model's tokenizer files; without it the agent asks an engine. */
  readonly tokenizerDir?: string
  readonly speed: number
}) {
  return {
    cluster: input.region.cluster,
    region: input.region.region,
    listen: { host: '127.0.0.1', port: input.port },
    directories: input.directories,
    models: [
      {
        model: LOCAL_MODEL,
        ...(input.tokenizerDir === undefined ? {} : { tokenizerDir: input.tokenizerDir }),
        contextTokensMax: CONTEXT_TOKENS_MAX,
        kvBytesPerToken: KV_BYTES_PER_TOKEN,
      },
    ],
    endpoints: input.engines.map((engine) => ({
      endpoint: engine.name,
      url: engine.url,
      role: ENGINE_ROLES[engine.name.split('.').at(-1) ?? ''] ?? 'both',
      events: engine.eventsEndpoint,
      replay: engine.replayEndpoint,
      profile: engineProfile(input.speed),
    })),
  }
}

/** `entrances` maps cluster -> edge region -> URL of the wide-area link between them. */
export function edgeConfig(input: {
  readonly entrances: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly apiKeySha256: string
}): EdgeConfigInput {
  return {
    homeRegion: 'us-east',
    regions: LOCAL_REGIONS.map(({ region, colo, continents, locationHint }) => ({
      region,
      locationHint,
      colos: [colo],
      continents: [...continents],
      rttMs: Object.fromEntries(
        LOCAL_REGIONS.map((other) => [other.cluster, rttBetweenMs(region, other.region)]),
      ),
    })),
    clusters: LOCAL_REGIONS.map(({ region, cluster }) => ({
      cluster,
      region,
      url: input.entrances[cluster]?.[region] ?? '',
      entrances: { ...input.entrances[cluster] },
    })),
    tenants: [
      {
        tenant: LOCAL_TENANT,
        apiKeySha256: [input.apiKeySha256],
        policy: {
          regions: LOCAL_REGIONS.map(({ region }) => region),
          prices: LOCAL_PRICES,
          routingOverride: true,
        },
      },
    ],
    lookupTimeoutMs: 15,
    stallFloorMs: 10_000,
    stallFactor: 4,
    stayMarginMs: 50,
  }
}
