/** The whole object on bare workerd: eight agents on their own sockets, and a Worker that calls. */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { request } from 'undici'
import { bundleEdge, startEdge } from '../../cli/edge.ts'
import { ROOT } from '../../cli/root.ts'
import { DELTA_INTERVAL_MS } from '../../protocol/report.ts'
import { benchKey } from '../directory-keys.ts'
import { BenchAgent, changes } from './bench-agent.ts'
import { measureCalls } from './calls.ts'
import { CLUSTERS, ENTRIES, median, round3 } from './figures.ts'

const CHANGES_PER_S = 10_000
const FRESHNESS_MS = 10_000
const WARM_UP_MS = 1500

/** `parts`: snapshot, calls, freshness. */
export async function measureObject(parts: readonly string[]) {
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
    const snapshot = await measureSnapshot(origin, agents)
    return {
      ...(parts.includes('snapshot') ? { snapshot } : {}),
      ...(parts.includes('calls') ? { calls: await measureCalls(origin, read) } : {}),
      ...(parts.includes('freshness')
        ? { freshness: await measureFreshness(origin, agents.at(-1) as BenchAgent) }
        : {}),
    }
  } finally {
    for (const agent of agents) agent.stop()
    await edge.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** A million entries while lookups go on one after another, in a thread of their own. */
async function measureSnapshot(origin: string, agents: BenchAgent[]) {
  const all = changes(0, ENTRIES)
  const prober = new Worker(new URL('prober.ts', import.meta.url), {
    workerData: `${origin}/probe?lo=1&hi=1`,
  })
  const waits = async (): Promise<number[]> => {
    prober.postMessage('tell', [])
    const [told] = (await once(prober, 'message')) as [number[]]
    return told
  }
  try {
    await sleep(WARM_UP_MS)
    await waits()
    await sleep(1000)
    const before = await waits()
    const startMs = performance.now()
    const agent = new BenchAgent(`${origin}/agent`, 'bench-0', all)
    agents.push(agent)
    await agent.live()
    const ms = performance.now() - startMs
    const during = await waits()
    return {
      entries: ENTRIES,
      ms: Math.round(ms),
      lookups: during.length,
      lookupMsP50: round3(median(during)),
      lookupMsMax: round3(Math.max(...during)),
      lookupMsP50Before: round3(median(before)),
      lookupMsMaxBefore: round3(Math.max(...before)),
    }
  } finally {
    await prober.terminate()
  }
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

const WRANGLER = `name = "isotherm-bench"
main = "index.ts"
compatibility_date = "2026-10-15"
# As the edge's own.
keep_names = false

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

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
