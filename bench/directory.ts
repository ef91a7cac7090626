/**
 * The regional directory: its map in this process, and the whole object on bare workerd with the agent's own report
 * streams, lookups beside a call that does nothing. Nothing is asserted.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { request } from 'undici'
import { bundleEdge, startEdge } from '../cli/edge.ts'
import { ROOT } from '../cli/root.ts'
import { DirectoryStream } from '../cluster-agent/directory-stream.ts'
import type { Change } from '../cluster-agent/report/epoch-frames.ts'
import { ResidencyMap } from '../directory/residency/residency-map.ts'
import {
  DELTA_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  type ModelLoad,
  type ModelOffer,
} from '../protocol/report.ts'
import { BENCH_MODEL, benchKey } from './directory-keys.ts'
import { describeMachine } from './machine.ts'

const ENTRIES = 1_000_000
const MARKERS = 64
const CLUSTERS = 8
const ROUNDS = 5
const CALLS = 1600
const CONCURRENCY = 16
const SHARED = 8
const REQUESTS = 500
const CHANGES_PER_S = 10_000
const FRESHNESS_MS = 10_000
const LIVE_MS_MAX = 60_000

export async function benchDirectory(options: { readonly json?: string | true }): Promise<void> {
  console.error('the map')
  const map = measureMap()
  const object = await measureObject()
  const result = { machine: describeMachine(), map, object }
  if (typeof options.json === 'string') await writeFile(options.json, `${JSON.stringify(result, null, 2)}\n`)
  console.log(JSON.stringify(result, null, 2))
}

/** Millions a second, each the median of rounds, at a million entries. */
function measureMap() {
  const map = new ResidencyMap(2 ** 21)
  const lo = new Uint32Array(ENTRIES)
  const hi = new Uint32Array(ENTRIES)
  for (let i = 0; i < ENTRIES; i++) [lo[i], hi[i]] = benchKey(i)
  const fill = (round: number) => {
    for (let i = 0; i < ENTRIES; i++) {
      map.set(lo[i] as number, hi[i] as number, (i + round) % CLUSTERS, 1 + (round & 1))
    }
  }
  fill(0)
  const updates: number[] = []
  const lookups: number[] = []
  const markers = new Uint32Array(MARKERS * 3)
  const prompts = 20_000
  for (let round = 1; round <= ROUNDS; round++) {
    const fillMs = timed(() => fill(round))
    updates.push(ENTRIES / fillMs / 1000)
    const lookupMs = timed(() => {
      for (let prompt = 0; prompt < prompts; prompt++) {
        for (let i = 0; i < MARKERS; i++) {
          const at = (prompt * MARKERS + i * 7919) % ENTRIES
          markers[i * 3] = (i + 1) * 256
          // The deeper half is nowhere.
          markers[i * 3 + 1] = i < MARKERS / 2 ? (lo[at] as number) : ~(lo[at] as number) >>> 0
          markers[i * 3 + 2] = hi[at] as number
        }
        map.match(markers)
      }
    })
    lookups.push((prompts * MARKERS) / lookupMs / 1000)
  }
  const full = new ResidencyMap(2 ** 21)
  for (let i = 0; i < full.entriesMax; i++) full.set(...benchKey(i), i % CLUSTERS, 1)
  const clearMs = timed(() => full.clearColumn(0))
  return {
    updatesMPerS: round3(median(updates)),
    lookupKeysMPerS: round3(median(lookups)),
    bytesASlot: full.bytes / 2 ** 21,
    bytesAnEntryWhenFull: round3(full.bytes / full.entriesMax),
    entriesMax: full.entriesMax,
    clearColumnMs: round3(clearMs),
  }
}

async function measureObject() {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-bench-'))
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const worker = JSON.stringify(join(ROOT, 'bench/directory-worker.ts'))
  await writeFile(join(folder, 'index.ts'), `export * from ${worker}\nexport { default } from ${worker}\n`)
  await writeFile(join(folder, 'wrangler.toml'), WRANGLER)
  console.error('the object on bare workerd')
  const bundle = await bundleEdge(folder, join(folder, 'wrangler.toml'))
  const edge = await startEdge({ bundle, port, text: {}, logFile: join(folder, 'edge.log') })
  const agents: BenchAgent[] = []
  try {
    for (let i = 1; i < CLUSTERS; i++)
      agents.push(new BenchAgent(`${origin}/agent`, `bench-${i}`, changes(i, 1000)))
    for (const agent of agents) await agent.live()
    console.error('a snapshot')
    const snapshot = await measureSnapshot(origin, agents)
    console.error('calls')
    const calls = await measureCalls(origin)
    console.error('freshness')
    const freshness = await measureFreshness(origin, agents.at(-1) as BenchAgent)
    return { snapshot, calls, freshness }
  } finally {
    for (const agent of agents) agent.stop()
    await edge.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** A million entries while lookups go on one after another. */
async function measureSnapshot(origin: string, agents: BenchAgent[]) {
  const waits: number[] = []
  const asked = new AbortController()
  const asking = (async () => {
    while (!asked.signal.aborted) waits.push(await timedCall(`${origin}/probe?lo=1&hi=1`))
  })()
  // Made before: making a million changes would hold this process up, and with it the lookups.
  const all = changes(0, ENTRIES)
  await sleep(500)
  const before = waits.splice(0)
  const startMs = performance.now()
  const agent = new BenchAgent(`${origin}/agent`, 'bench-0', all)
  agents.push(agent)
  await agent.live()
  const ms = performance.now() - startMs
  asked.abort()
  await asking
  const sorted = waits.toSorted((a, b) => a - b)
  return {
    entries: ENTRIES,
    ms: Math.round(ms),
    lookups: waits.length,
    lookupMsP50: round3(median(waits)),
    lookupMsMax: round3(sorted.at(-1) ?? 0),
    lookupMsP50Before: round3(median(before)),
    lookupMsMaxBefore: round3(Math.max(...before)),
  }
}

/** Calls and lookups a second, taking turns: in a loop inside a Worker, and as requests that make one call each. */
async function measureCalls(origin: string) {
  const perS: Record<'nothing' | 'lookup' | 'shared', number[]> = { nothing: [], lookup: [], shared: [] }
  const requestsPerS: Record<'nothing' | 'lookup', number[]> = { nothing: [], lookup: [] }
  const loop = async (kind: 'nothing' | 'lookup', questions: number, count: number) => {
    const query = `kind=${kind}&count=${count}&concurrency=${CONCURRENCY}&entries=${ENTRIES}&questions=${questions}`
    return Number(await read(`${origin}/calls?${query}`))
  }
  for (let round = 0; round <= ROUNDS; round++) {
    const nothing = (CALLS / (await loop('nothing', 1, CALLS))) * 1000
    const lookup = (CALLS / (await loop('lookup', 1, CALLS))) * 1000
    const shared = (CALLS / (await loop('lookup', SHARED, CALLS / SHARED))) * 1000
    const requests = {
      nothing: await requestRate(origin, 'nothing'),
      lookup: await requestRate(origin, 'lookup'),
    }
    // The first round only warms up.
    if (round === 0) continue
    perS.nothing.push(nothing)
    perS.lookup.push(lookup)
    perS.shared.push(shared)
    requestsPerS.nothing.push(requests.nothing)
    requestsPerS.lookup.push(requests.lookup)
  }
  const ratio = (a: readonly number[], b: readonly number[]) =>
    round3(median(a.map((value, i) => value / (b[i] ?? Infinity))))
  return {
    markers: MARKERS,
    clusters: CLUSTERS,
    loop: {
      nothingPerS: Math.round(median(perS.nothing)),
      lookupsPerS: Math.round(median(perS.lookup)),
      ratio: ratio(perS.lookup, perS.nothing),
      lookupsPerSWhenEightShareACall: Math.round(median(perS.shared)),
      ratioWhenEightShareACall: ratio(perS.shared, perS.nothing),
    },
    oneCallARequest: {
      nothingPerS: Math.round(median(requestsPerS.nothing)),
      lookupsPerS: Math.round(median(requestsPerS.lookup)),
      ratio: ratio(requestsPerS.lookup, requestsPerS.nothing),
    },
  }
}

/** Requests a second of which each makes one call, as the edge's do. */
async function requestRate(origin: string, kind: 'nothing' | 'lookup'): Promise<number> {
  const url = `${origin}/calls?kind=${kind}&count=1&concurrency=1&entries=${ENTRIES}&questions=1`
  const startMs = performance.now()
  let next = 0
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      while (next++ < REQUESTS) await read(url)
    }),
  )
  return (REQUESTS / (performance.now() - startMs)) * 1000
}

/** From a change at the agent to a lookup that sees it, while many more change. */
async function measureFreshness(origin: string, agent: BenchAgent) {
  const samples: number[] = []
  const endMs = performance.now() + FRESHNESS_MS
  agent.churn(CHANGES_PER_S)
  for (let index = 3 * ENTRIES; performance.now() < endMs; index++) {
    // Probes fall anywhere into an interval of the agent.
    await sleep(Math.random() * DELTA_INTERVAL_MS)
    const [lo, hi] = benchKey(index)
    const startMs = performance.now()
    agent.change({ lo, hi, nibble: 1 })
    while (Number(await read(`${origin}/probe?lo=${lo}&hi=${hi}`)) !== 256) continue
    samples.push(performance.now() - startMs)
  }
  samples.sort((a, b) => a - b)
  const at = (share: number) => round3(samples[Math.floor(share * (samples.length - 1))] ?? 0)
  return { changesPerS: CHANGES_PER_S, probes: samples.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

/** An agent's report stream as it is in production, with keys made up. */
class BenchAgent {
  readonly #stream: DirectoryStream
  readonly #timers: NodeJS.Timeout[]
  #waiting: Change[] = []
  #oldestMs: number | null = null
  #next = 2 * ENTRIES

  constructor(url: string, cluster: string, snapshot: readonly Change[]) {
    this.#stream = new DirectoryStream({
      name: cluster,
      url: `${url.replace('http', 'ws')}?cluster=${cluster}`,
      clusterToken: 'none',
      hello: () => ({ cluster, region: 'bench', incarnation: 1, models: [OFFER] }),
      snapshot: () => snapshot,
      outcomes: null,
      random: Math.random,
      log: pino({ level: 'silent' }),
    })
    const tick = () => this.#tick()
    const beat = () =>
      this.#stream.drive((machine, nowMs) => machine.heartbeat({ loads: [LOAD], draining: false }, nowMs))
    this.#timers = [setInterval(tick, DELTA_INTERVAL_MS), setInterval(beat, HEARTBEAT_INTERVAL_MS)]
    tick()
  }

  async live(): Promise<void> {
    const giveUpMs = performance.now() + LIVE_MS_MAX
    while (this.#stream.state !== 'live') {
      if (performance.now() > giveUpMs) throw new Error('the directory did not take the snapshot')
      await sleep(2)
    }
  }

  change(change: Change): void {
    this.#waiting.push(change)
    this.#oldestMs ??= performance.now()
  }

  churn(perS: number): void {
    const intervalMs = 5
    const each = (perS * intervalMs) / 1000
    this.#timers.push(
      setInterval(() => {
        for (const change of changes(this.#next, each)) this.change(change)
        this.#next += each
      }, intervalMs),
    )
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#stream.stop()
  }

  #tick(): void {
    const [waiting, oldestMs] = [this.#waiting, this.#oldestMs]
    this.#waiting = []
    this.#oldestMs = null
    this.#stream.drive((machine, nowMs) => {
      machine.tick(nowMs)
      machine.push(waiting, nowMs - (oldestMs ?? nowMs), nowMs)
    })
  }
}

const OFFER: ModelOffer = {
  model: BENCH_MODEL,
  bytesPerToken: 4,
  kvBytesPerToken: 262_144,
  contextTokensMax: 131_072,
  prefill: { fixedMs: 30, msPerToken: 0.06, msPerTokenPair: 2e-6 },
  tiers: { cpu: { floorMs: 1, bytesPerMs: 50e6 } },
}
const LOAD: ModelLoad = {
  model: BENCH_MODEL,
  backlogMs: 12,
  otherBacklogsMs: [15, 20, 40],
  kvPressure: 0.4,
  handoffMs: 3,
  endpoints: 4,
  bytesPerToken: 4,
}

function changes(from: number, count: number): Change[] {
  return Array.from({ length: count }, (_, i) => {
    const [lo, hi] = benchKey(from + i)
    return { lo, hi, nibble: 1 }
  })
}

const WRANGLER = `name = "isotherm-bench"
main = "index.ts"
compatibility_date = "2026-10-15"

[[durable_objects.bindings]]
name = "DIRECTORY"
class_name = "CacheDirectory"

[[durable_objects.bindings]]
name = "NOTHING"
class_name = "NothingObject"
`

/** Once more when an idle connection was closed under it. */
async function read(url: string): Promise<string> {
  const ask = async () => (await request(url)).body.text()
  return ask().catch(ask)
}

async function timedCall(url: string): Promise<number> {
  const startMs = performance.now()
  await read(url)
  return performance.now() - startMs
}

function timed(run: () => void): number {
  const startMs = performance.now()
  run()
  return performance.now() - startMs
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

function round3(value: number): number {
  return Number(value.toPrecision(3))
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
