/**
 * The edge on bare workerd beside a Worker that only pipes and beside no Worker at all, in turns, so that a busy minute hits
 * all alike. The cluster behind them costs next to nothing and no agent reports, so every answer of a directory is empty.
 */
import { createHash } from 'node:crypto'
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Pool } from 'undici'
import { bundleEdge, startEdge } from '../cli/edge.ts'
import { Part } from '../cli/part.ts'
import { ROOT } from '../cli/root.ts'
import { describeMachine } from './machine.ts'
import { chatText, gapSamples, ttftSamples } from './edge/client.ts'
import { measureStages, whereItGoes } from './edge/stages.ts'
import { cpuMsOf } from './edge/process-cpu.ts'

export interface BenchEdgeOptions {
  readonly seconds: number
  readonly rounds: number
  readonly json?: string | true
}

const CONNECTIONS = 32
const BODY_BYTES = 24 * 1024
const KEY = 'iso-bench-key'
const WARM_UP_REQUESTS = 4000
const WARM_UP_MS_MAX = 20_000
const TTFT_SIZES_KB = [8, 64, 400]
const TTFT_SAMPLES = 150
const GAP_TOKENS = 100
const GAP_MS = 5

interface Target {
  readonly name: string
  readonly origin: string
  readonly part: Part | null
  readonly search?: string
  /** The body of request `index`. */
  readonly body: (index: number) => string
}

interface Sample {
  readonly requestsPerS: number
  readonly cpuUs: number | null
}

export async function benchEdge({ seconds, rounds, json }: BenchEdgeOptions): Promise<void> {
  const folder = join(ROOT, '.isotherm', 'bench-edge')
  await rm(folder, { recursive: true, force: true })
  const started: Part[] = []
  try {
    const { part: upstream, ready } = await Part.start({
      name: 'upstream',
      command: process.execPath,
      args: [join(ROOT, 'bench/edge/upstream.mjs')],
      logFile: join(folder, 'upstream.log'),
    })
    started.push(upstream)
    const upstreamUrl = `http://127.0.0.1:${(ready as { port: number }).port}`
    const pipe = await startPipe(join(folder, 'pipe'), upstreamUrl)
    started.push(pipe.part)
    const edge = await startProductEdge(join(folder, 'edge'), upstreamUrl)
    started.push(edge.part)
    const text = chatText(BODY_BYTES)
    const same = () => text
    const targets: Target[] = [
      { name: 'pipe', ...pipe, body: same },
      { name: 'pipe that holds both bodies', ...pipe, search: '?hold', body: same },
      { name: 'edge, answers from the isolate', ...edge, body: same },
      {
        name: 'edge, a lookup for each request',
        ...edge,
        body: (index) => text.replace('conversation 0', `conversation ${index}`),
      },
    ]
    for (const target of targets) await warmUp(target)
    const samples = targets.map((): Sample[] => [])
    for (let round = 0; round < rounds; round++) {
      for (const [index, target] of targets.entries()) samples[index]?.push(await load(target, seconds))
    }
    const throughput = targets.map(({ name }, index) =>
      summarise(name, samples[index] ?? [], samples[0] ?? []),
    )
    console.table(throughput)

    const paths = [
      { name: 'direct', origin: upstreamUrl },
      { name: 'pipe', origin: pipe.origin },
      { name: 'edge', origin: edge.origin },
    ]
    const ttft = []
    for (const sizeKb of TTFT_SIZES_KB) ttft.push(...(await ttftSamples(paths, sizeKb, TTFT_SAMPLES, KEY)))
    console.table(ttft)
    const gaps = await gapSamples(paths, GAP_TOKENS, GAP_MS, KEY)
    console.table(gaps)
    const stages = await measureStages(text)
    console.table(stages)
    const [pipeUs = 0, holdingUs = 0, edgeUs = 0] = throughput.map((row) => row['CPU us a request'])
    const parts = whereItGoes({ pipe: pipeUs, holding: holdingUs, edge: edgeUs }, stages)
    console.table(parts)
    const machine = describeMachine()
    console.log(`${machine.cores} cores (${machine.cpu}), Node ${machine.node}, commit ${machine.commit}`)
    const result = { machine, throughput, ttft, gaps, stages, parts }
    const figures = JSON.stringify(result, null, 2)
    if (json === true) console.log(figures)
    else if (json) await writeFile(json, `${figures}\n`)
  } finally {
    await Promise.all(started.map((part) => part.stop()))
  }
}

/** Until the engine has compiled what is hot, however slow the machine is at the moment. */
async function warmUp(target: Target): Promise<void> {
  const giveUpMs = performance.now() + WARM_UP_MS_MAX
  let requests = 0
  while (requests < WARM_UP_REQUESTS && performance.now() < giveUpMs)
    requests += (await load(target, 1)).requestsPerS
}

async function load({ origin, part, body, search = '' }: Target, seconds: number): Promise<Sample> {
  const pool = new Pool(origin, { connections: CONNECTIONS })
  const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
  const cpuBeforeMs = part ? await cpuMsOf(part.pid) : null
  const startMs = performance.now()
  const endMs = startMs + seconds * 1000
  let done = 0
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async (_, connection) => {
      for (let i = 0; performance.now() < endMs; i++) {
        const index = Math.round(startMs) * 1000 + i * CONNECTIONS + connection
        const answer = await pool.request({
          path: `/v1/chat/completions${search}`,
          method: 'POST',
          headers,
          body: body(index),
        })
        const text = await answer.body.text()
        if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}: ${text.slice(0, 200)}`)
        done++
      }
    }),
  )
  const elapsedS = (performance.now() - startMs) / 1000
  const cpuAfterMs = part ? await cpuMsOf(part.pid) : null
  await pool.close()
  const cpuUs =
    cpuBeforeMs === null || cpuAfterMs === null ? null : ((cpuAfterMs - cpuBeforeMs) * 1000) / done
  return { requestsPerS: done / elapsedS, cpuUs }
}

/** Ratios are those of samples that stand beside each other. */
function summarise(name: string, samples: readonly Sample[], base: readonly Sample[]) {
  const ratios = samples.map(({ requestsPerS }, i) => requestsPerS / (base[i]?.requestsPerS ?? Number.NaN))
  const cpu = samples.map(({ cpuUs }, i) => (cpuUs ?? Number.NaN) / (base[i]?.cpuUs ?? Number.NaN))
  return {
    what: name,
    'requests/s': Math.round(median(samples.map(({ requestsPerS }) => requestsPerS))),
    'ratio to pipe': round(median(ratios)),
    'ratio, least and greatest': `${round(Math.min(...ratios))} - ${round(Math.max(...ratios))}`,
    'CPU us a request': Math.round(median(samples.map(({ cpuUs }) => cpuUs ?? Number.NaN))),
    'CPU, ratio to pipe': round(median(cpu)),
  }
}

async function startPipe(folder: string, upstream: string) {
  await mkdir(join(folder, 'bundle'), { recursive: true })
  await copyFile(join(ROOT, 'bench/edge/pipe.js'), join(folder, 'bundle/index.js'))
  const port = await freePort()
  const bundle = { folder, compatibilityDate: '2026-10-15', compatibilityFlags: [], durableObjects: [] }
  const part = await startEdge({ bundle, port, text: { UPSTREAM: upstream }, logFile: join(folder, 'log') })
  return { part, origin: `http://127.0.0.1:${port}` }
}

async function startProductEdge(folder: string, upstream: string) {
  const bundle = await bundleEdge(folder)
  const port = await freePort()
  const config = {
    homeRegion: 'us-east',
    regions: [{ region: 'us-east', rttMs: { 'us-east-1': 1, 'us-east-2': 2 } }],
    clusters: ['us-east-1', 'us-east-2'].map((cluster) => ({ cluster, region: 'us-east', url: upstream })),
    tenants: [
      {
        tenant: 'bench',
        apiKeySha256: [createHash('sha256').update(KEY).digest('hex')],
        policy: { regions: ['us-east'], requestsPerMinute: 10_000_000, tokensPerMinute: 1_000_000_000 },
      },
    ],
    lookupTimeoutMs: 1000,
  }
  const text = {
    ISOTHERM_CONFIG: JSON.stringify(config),
    ENVELOPE_SECRET: 'envelope-secret-of-the-bench',
    PREFIX_SECRET: 'prefix-secret-of-the-bench',
    CLUSTER_TOKENS: '{}',
    ADMIN_TOKEN: 'admin-token',
  }
  const part = await startEdge({ bundle, port, text, logFile: join(folder, 'log') })
  return { part, origin: `http://127.0.0.1:${port}` }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

function round(value: number): number {
  return Number(value.toPrecision(3))
}
