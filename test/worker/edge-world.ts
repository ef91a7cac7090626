/** The Worker with clusters, a directory and tenants by hand. Each world has fresh bindings, so a fresh isolate's memory. */
import { createExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { vi } from 'vitest'
import type { EdgeConfig, Policy } from '../../protocol/edge-config.ts'
import { ENVELOPE_HEADER, envelopeSchema, type Envelope } from '../../protocol/envelope.ts'
import type { ClusterKnowledge, DirectoryRpc, LookupRequest } from '../../protocol/lookup.ts'
import { decodeBatch } from '../../protocol/lookup-wire.ts'
import { packAnswers, wholeFacts } from '../support/pack-answers.ts'
import { parseReceipt, type Receipt } from '../../protocol/receipt.ts'
import worker from '../../worker/index.ts'
import { MODEL } from '../directory/fake-agent.ts'
import { known } from './plan/candidates.ts'

export const CLUSTERS = ['us-east-1', 'eu-central-1', 'ap-northeast-1'] as const
export type ClusterName = (typeof CLUSTERS)[number]

/** A request as a cluster saw it. */
export interface Arrival {
  readonly cluster: ClusterName
  readonly method: string
  /** With its query, if there is one. */
  readonly path: string
  readonly headers: Headers
  readonly body: Uint8Array
  readonly signal: AbortSignal
}

export type Serve = (arrival: Arrival) => Response | Promise<Response>

/** The envelope that came along, whoever signed it. */
export function envelopeOf({ headers }: Arrival): Envelope {
  const [encoded = ''] = (headers.get(ENVELOPE_HEADER) ?? '').split('.')
  return envelopeSchema.parse(JSON.parse(Buffer.from(encoded, 'base64url').toString()))
}

export interface WorldOptions {
  readonly config?: Partial<EdgeConfig>
  readonly policy?: Partial<Policy>
  /** What the directory answers; by default every cluster is known, idle and cold. */
  readonly lookup?: (request: LookupRequest) => Promise<readonly ClusterKnowledge[]>
  readonly tenant?: string
  readonly ledger?: DurableObjectNamespace
  readonly policyCopy?: DurableObjectNamespace
  /** What the directory's answers say of versions elsewhere; the operators' API adds to it. */
  readonly versions?: Record<string, number>
  /** What clusters answer; by default a completion. */
  readonly serve?: Partial<Record<ClusterName, Serve>>
}

export interface Asked {
  readonly path?: string
  readonly method?: string
  readonly key?: string | null
  readonly headers?: Record<string, string>
  readonly body?: BodyInit | object
  readonly colo?: string
}

export interface World {
  readonly arrivals: Arrival[]
  readonly lookups: LookupRequest[]
  fetch(asked?: Asked): Promise<Response>
  /** The answer read to its end. */
  ask(asked?: Asked): Promise<{ status: number; text: string; headers: Headers; receipt: Receipt | null }>
}

export const KEY = 'iso-test-key'
export const CHAT = {
  model: MODEL,
  max_tokens: 4,
  messages: [{ role: 'user', content: 'hello '.repeat(200) }],
}

export const completion: Serve = ({ cluster }) =>
  Response.json(
    { object: 'chat.completion', from: cluster },
    { headers: { 'x-isotherm-agent-route': 'agent_ms=1' } },
  )

export function stream(...chunks: string[]): Response {
  const body = new Blob(chunks).stream()
  return new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } })
}

/** Never answers; ends when the edge gives up, as a socket does. */
export const silence: Serve = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')))
  })

export function status(code: number, headers: Record<string, string> = {}): Serve {
  return () =>
    Response.json(
      { error: { message: `status ${code}`, type: 't', param: null, code: 'c' } },
      { status: code, headers },
    )
}

export function knownEverywhere(change: Partial<Record<ClusterName, ClusterKnowledge>> = {}) {
  return async () => CLUSTERS.map((cluster) => change[cluster] ?? known(cluster))
}

export function newWorld(options: WorldOptions = {}): World {
  const arrivals: Arrival[] = []
  const lookups: LookupRequest[] = []
  const lookup = options.lookup ?? knownEverywhere()
  const versions = options.versions ?? {}
  const directory: DirectoryRpc = {
    lookup: async (text) => {
      // Decoded markers are good until the next lookup only.
      const questions = decodeBatch(text)!.questions.map(({ model, markers }) => ({
        model,
        markers: markers.slice(),
      }))
      lookups.push(...questions)
      const models = questions.map(({ model }) => model)
      const answers = await Promise.all(questions.map(lookup))
      const news = { facts: wholeFacts(models, answers), versions: { ...versions } }
      return packAnswers(answers, 1, news)
    },
    models: async () => ({
      directory: 'fake',
      clusters: CLUSTERS.map((cluster) => ({
        cluster,
        models: [
          { model: MODEL, contextTokensMax: 8192 },
          { model: `only-${cluster}`, contextTokensMax: 1 },
        ],
      })),
    }),
    inspect: async () => ({
      directory: 'fake',
      entries: 0,
      entriesMax: 1,
      lookups: 0,
      freshness: { counts: [], p50Ms: null, p99Ms: null },
      hottestRoots: [],
      rejects: {},
      streams: [],
    }),
    noteVersion: async (name, version) => {
      versions[name] = version
      return true
    },
  }
  const bindings = {
    ...env,
    DIRECTORY: {
      idFromName: (name: string) => name,
      get: () => directory,
    } as unknown as DurableObjectNamespace,
    TENANT_LEDGER: options.ledger ?? env.TENANT_LEDGER,
    POLICY_COPY: options.policyCopy ?? env.POLICY_COPY,
    ISOTHERM_CONFIG: JSON.stringify(edgeConfig(options)),
  }
  vi.stubGlobal('fetch', async (url: string, init: RequestInit & { headers: Record<string, string> }) => {
    const { hostname, pathname, search } = new URL(url)
    const arrival: Arrival = {
      cluster: hostname.split('.')[0] as ClusterName,
      method: init.method ?? 'GET',
      path: `${pathname}${search}`,
      headers: new Headers(init.headers),
      body: init.body as Uint8Array,
      signal: init.signal!,
    }
    arrivals.push(arrival)
    return (options.serve?.[arrival.cluster] ?? completion)(arrival)
  })
  const fetch = async (asked: Asked = {}) => {
    const { path = '/v1/chat/completions', method = 'POST', key = KEY, colo } = asked
    const hasBody = method !== 'GET' && method !== 'HEAD'
    const given = asked.body ?? CHAT
    const isRaw = typeof given === 'string' || given instanceof ReadableStream || given instanceof Uint8Array
    const request = new Request(`https://edge.test${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...asked.headers,
      },
      ...(hasBody ? { body: isRaw ? (given as BodyInit) : JSON.stringify(given) } : {}),
      ...(colo ? { cf: { colo } as unknown as IncomingRequestCfProperties } : {}),
    })
    return worker.fetch(request, bindings, createExecutionContext())
  }
  const ask = async (asked?: Asked) => {
    const response = await fetch(asked)
    const receipt = parseReceipt(response.headers.get('x-isotherm-route') ?? '')
    return { status: response.status, text: await response.text(), headers: response.headers, receipt }
  }
  return { arrivals, lookups, fetch, ask }
}

function edgeConfig({ config, policy, tenant = 'demo' }: WorldOptions): unknown {
  return {
    homeRegion: 'us-east',
    regions: [
      {
        region: 'us-east',
        colos: ['IAD'],
        rttMs: { 'us-east-1': 5, 'eu-central-1': 90, 'ap-northeast-1': 150 },
      },
      {
        region: 'eu-central',
        colos: ['FRA'],
        rttMs: { 'us-east-1': 90, 'eu-central-1': 5, 'ap-northeast-1': 240 },
      },
    ],
    clusters: CLUSTERS.map((cluster) => ({
      cluster,
      region: cluster.slice(0, -2),
      url: `http://${cluster}.test`,
      entrances: { 'eu-central': `http://${cluster}.by-eu.test/` },
    })),
    tenants: [
      {
        tenant,
        apiKeySha256: [createHash('sha256').update(KEY).digest('hex')],
        policy: { regions: ['us-east', 'eu-central', 'ap-northeast'], ...policy },
      },
    ],
    // The fake directory answers at once; the bound is there for those that do not.
    lookupTimeoutMs: 200,
    ...config,
  }
}
