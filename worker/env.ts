/**
 * The Worker's bindings, parsed once per isolate, and what an isolate keeps between requests: plain values only. A stub or
 * a promise kept from one request breaks the next (reference/hot-path.md, traps 1 and 2), so stubs are made for each.
 */
import { z } from 'zod'
import {
  edgeConfigSchema,
  type ClusterConfig,
  type EdgeConfig,
  type RegionConfig,
  type TenantConfig,
} from '../protocol/edge-config.ts'
import { nameSchema } from '../protocol/ids.ts'
import type { KeyResolver, PolicyStoreRpc } from '../protocol/policy-store.ts'
import type { ReceiptLogRpc } from '../protocol/receipt-record.ts'
import type { TenantLedgerRpc } from '../protocol/tenancy.ts'
import { digestOfKey } from './authenticate.ts'
import { directoryObjects, type DirectoryObjects, type DirectoryStub } from './directory-objects.ts'
import { EnvelopeSeal } from './envelope-seal.ts'
import { Fingerprinter } from './fingerprint.ts'
import { FLUSH_MS } from './flush.ts'
import { Accounts } from './memory/accounts.ts'
import { Bookings } from './memory/bookings.ts'
import { Breaker } from './memory/breaker.ts'
import { Counters } from './memory/counters.ts'
import { DirectoryMemory } from './memory/directory-memory.ts'
import { HedgeBudget } from './memory/hedge-budget.ts'
import { KeyCache } from './memory/key-cache.ts'
import { KeyDigests } from './memory/key-digests.ts'
import { LastHeard } from './memory/last-heard.ts'
import { Notes } from './memory/notes.ts'
import { Outages } from './memory/outages.ts'
import { RecentLookups } from './memory/recent-lookups.ts'
import { RoundTrips } from './memory/round-trips.ts'
import { SharedPrefixes } from './memory/shared-prefixes.ts'
import { Shadows } from './memory/shadows.ts'
import { SingleFlight } from './memory/single-flight.ts'
import { TtftRatios } from './memory/ttft-ratios.ts'
import { Versions } from './memory/versions.ts'
import { LEDGER_MS_MAX } from './reservation.ts'
import { ResponseIds } from './response-ids.ts'
import { shardName, STORE_MS_MAX } from './tenant-lookup.ts'

export interface EdgeBindings {
  readonly DIRECTORY: DurableObjectNamespace
  readonly TENANT_LEDGER: DurableObjectNamespace
  readonly RECEIPT_LOG: DurableObjectNamespace
  readonly POLICY_STORE: DurableObjectNamespace
  readonly POLICY_COPY: DurableObjectNamespace
  /** The document of protocol/edge-config.ts. */
  readonly ISOTHERM_CONFIG: string
  readonly ENVELOPE_SECRET: string
  readonly PREFIX_SECRET: string
  /** JSON: cluster -> the bearer token with which its agent reports. */
  readonly CLUSTER_TOKENS: string
  readonly ADMIN_TOKEN: string
  /** JSON: name -> token of further operators, whom the audit log tells apart. */
  readonly OPERATOR_TOKENS?: string
}

export interface Edge {
  readonly config: EdgeConfig
  readonly clusters: ReadonlyMap<string, ClusterConfig>
  readonly regions: ReadonlyMap<string, RegionConfig>
  /** By SHA-256 of an API key, in hexadecimal. */
  readonly tenants: ReadonlyMap<string, TenantConfig>
  /** Names that the policy store must not use. */
  readonly configuredTenants: ReadonlySet<string>
  readonly clusterTokens: ReadonlyMap<string, string>
  /** Bindings that clusters are called through. */
  readonly fetchers: ReadonlyMap<string, Fetcher>
  readonly seal: EnvelopeSeal
  readonly responseIds: ResponseIds
  /** Name -> token. */
  readonly operators: ReadonlyMap<string, string>
  readonly fingerprinter: Fingerprinter
  readonly keyDigests: KeyDigests
  readonly keyCache: KeyCache
  readonly keyFlights: SingleFlight
  readonly storeOutages: Outages
  readonly accounts: Accounts
  readonly notes: Notes
  readonly shadows: Shadows
  readonly bookings: Bookings
  readonly sharedPrefixes: SharedPrefixes
  readonly breaker: Breaker
  readonly counters: Counters
  readonly hedgeBudget: HedgeBudget
  readonly lastHeard: LastHeard
  readonly ttftRatios: TtftRatios
  readonly recentLookups: RecentLookups
  readonly roundTrips: RoundTrips
  readonly versions: Versions
  readonly directoryMemory: DirectoryMemory
  readonly directories: DirectoryObjects
  /** A fresh stub of the first object of the region's directory; null when there is no such region. */
  directoryOf(region: string): DirectoryStub | null
  /** A fresh stub of the tenant's ledger. */
  ledgerOf(tenant: string): TenantLedgerRpc
  /** A fresh stub of a region's receipts; null when there is no such region. */
  receiptsOf(region: string): ReceiptLogRpc | null
  /** A fresh stub of the copy that answers for a shard of the policy store in a region. */
  policiesOf(shard: number, region: string): KeyResolver
  /** A fresh stub of the shard itself, for those who change it. */
  policyStoreOf(shard: number): PolicyStoreRpc
}

const SECRET_CHARS_MIN = 8
const secretSchema = z.string().min(SECRET_CHARS_MIN)
const textsSchema = z.object({
  ISOTHERM_CONFIG: z.string(),
  ENVELOPE_SECRET: secretSchema,
  PREFIX_SECRET: secretSchema,
  CLUSTER_TOKENS: z.string(),
  ADMIN_TOKEN: secretSchema,
  OPERATOR_TOKENS: z.string().default('{}'),
})
const tokensSchema = z.record(nameSchema, secretSchema)

/** A binding that cannot be used. Its message names the binding and the field, never a value. */
export class BindingError extends Error {
  override readonly name = 'BindingError'
}

let parsed: { readonly bindings: EdgeBindings; readonly edge: Edge } | null = null

/** The edge of these bindings; throws `BindingError`. */
export function readEdge(bindings: EdgeBindings): Edge {
  if (parsed?.bindings !== bindings) parsed = { bindings, edge: parseEdge(bindings) }
  return parsed.edge
}

function parseEdge(bindings: EdgeBindings): Edge {
  const texts = parseBinding('bindings', textsSchema, bindings)
  const config = parseBinding('ISOTHERM_CONFIG', edgeConfigSchema, parseJson('ISOTHERM_CONFIG', texts))
  const tokens = parseBinding('CLUSTER_TOKENS', tokensSchema, parseJson('CLUSTER_TOKENS', texts))
  const named = parseBinding('OPERATOR_TOKENS', tokensSchema, parseJson('OPERATOR_TOKENS', texts))
  const clusters = indexOnce('cluster', config.clusters, ({ cluster }) => [cluster])
  const regions = indexOnce('region', config.regions, ({ region }) => [region])
  if (!regions.has(config.homeRegion))
    throw new BindingError('ISOTHERM_CONFIG: homeRegion is none of regions')
  const configured = indexOnce('tenant', config.tenants, ({ tenant }) => [tenant])
  const [isolate = 0] = crypto.getRandomValues(new Uint32Array(1))
  const directoryMemory = new DirectoryMemory(isolate)
  const directories = directoryObjects(bindings.DIRECTORY, regions)
  return {
    config,
    clusters,
    regions,
    tenants: indexOnce('API key', config.tenants, ({ apiKeySha256 }) => apiKeySha256),
    configuredTenants: new Set(configured.keys()),
    clusterTokens: new Map(Object.entries(tokens)),
    fetchers: new Map(config.clusters.flatMap(({ binding }) => fetcherOf(bindings, binding))),
    seal: new EnvelopeSeal(texts.ENVELOPE_SECRET),
    responseIds: new ResponseIds(texts.PREFIX_SECRET),
    operators: new Map([['operator', texts.ADMIN_TOKEN], ...Object.entries(named)]),
    fingerprinter: new Fingerprinter(texts.PREFIX_SECRET),
    keyDigests: new KeyDigests(digestOfKey),
    keyCache: new KeyCache(),
    keyFlights: new SingleFlight(STORE_MS_MAX),
    storeOutages: new Outages(),
    accounts: new Accounts(LEDGER_MS_MAX),
    notes: new Notes(FLUSH_MS),
    shadows: new Shadows(),
    directoryMemory,
    bookings: new Bookings(directoryMemory.notes),
    sharedPrefixes: new SharedPrefixes(),
    breaker: new Breaker(directoryMemory.sightings),
    counters: new Counters(),
    hedgeBudget: new HedgeBudget(),
    lastHeard: new LastHeard(),
    ttftRatios: new TtftRatios(),
    recentLookups: new RecentLookups(),
    roundTrips: new RoundTrips(directoryMemory.sightings),
    versions: new Versions(),
    directories,
    directoryOf: (region) => directories.all(region)[0]?.open() ?? null,
    ledgerOf: (tenant) => {
      const { TENANT_LEDGER } = bindings
      const stub: unknown = TENANT_LEDGER.get(TENANT_LEDGER.idFromName(tenant))
      return stub as TenantLedgerRpc
    },
    receiptsOf: (region) => {
      const known = regions.get(region)
      if (!known) return null
      const { RECEIPT_LOG } = bindings
      const stub: unknown = RECEIPT_LOG.get(RECEIPT_LOG.idFromName(region), hintOf(known))
      return stub as ReceiptLogRpc
    },
    policiesOf: (shard, region) => {
      const { POLICY_COPY } = bindings
      const known = regions.get(region)
      const id = POLICY_COPY.idFromName(`${shardName(shard)}@${region}`)
      const stub: unknown = POLICY_COPY.get(id, known ? hintOf(known) : {})
      return stub as KeyResolver
    },
    policyStoreOf: (shard) => {
      const { POLICY_STORE } = bindings
      const home = regions.get(config.homeRegion)
      const id = POLICY_STORE.idFromName(shardName(shard))
      const stub: unknown = POLICY_STORE.get(id, home ? hintOf(home) : {})
      return stub as PolicyStoreRpc
    },
  }
}

function hintOf({ locationHint }: RegionConfig): DurableObjectNamespaceGetDurableObjectOptions {
  return locationHint === undefined ? {} : { locationHint: locationHint as DurableObjectLocationHint }
}

/** One entry, none without a binding; throws for one that nothing can be fetched through. */
function fetcherOf(bindings: EdgeBindings, name: string | undefined): [string, Fetcher][] {
  if (name === undefined) return []
  const binding: unknown = Object.entries(bindings).find(([key]) => key === name)?.[1]
  if (typeof binding !== 'object' || binding === null || !('fetch' in binding))
    throw new BindingError(`${name}: a cluster names it, and it is no service, VPC or mTLS binding`)
  return [[name, binding as Fetcher]]
}

function parseJson<K extends string>(name: K, texts: Readonly<Record<K, string>>): unknown {
  try {
    return JSON.parse(texts[name])
  } catch {
    throw new BindingError(`${name} is no JSON`)
  }
}

function parseBinding<T>(name: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const faults = result.error.issues.map(({ path, code }) => `${path.join('.') || 'all of it'} (${code})`)
  throw new BindingError(`${name}: ${faults.slice(0, 10).join(', ')}`)
}

function indexOnce<T>(
  what: string,
  items: readonly T[],
  keysOf: (item: T) => readonly string[],
): Map<string, T> {
  const index = new Map<string, T>()
  for (const item of items) {
    for (const key of keysOf(item)) {
      if (index.has(key)) throw new BindingError(`ISOTHERM_CONFIG: a ${what} appears twice`)
      index.set(key, item)
    }
  }
  return index
}
