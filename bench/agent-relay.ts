/**
 * The relay: processor time a request and requests a second of the agent, beside a bare Node proxy and, where it is installed,
 * SGLang's gateway, in turns in one run. The bare proxy runs twice: how far its two halves are apart is the machine's own noise.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../cli/free-port.ts'
import { engineProfile } from '../cli/local/topology.ts'
import { demoTokenizerFiles } from '../simulator/model/tokenizer-files.ts'
import { RELAY_MODEL } from './relay/bodies.ts'
import type { LoadResult } from './relay/load.ts'
import { cpuOf, startProcess, type BenchProcess, type Cpu } from './relay/process.ts'

const CONNECTIONS = 32
const ENGINES = 4
const SECRETS = {
  ISOTHERM_ENVELOPE_SECRET: 'bench-envelope-secret',
  ISOTHERM_PREFIX_SECRET: 'bench-prefix-secret',
  ISOTHERM_CLUSTER_TOKEN: 'bench-token',
}

export interface RelayOptions {
  readonly rounds: number
  readonly seconds: number
  /** Path of SGLang's gateway (`smg`); without it is left out. */
  readonly gateway?: string
}

interface Subject {
  readonly name: string
  readonly url: string
  cpu(): Promise<Cpu>
}

interface Sample extends LoadResult {
  readonly cpuUs: number
  readonly servingUs: number
}

export interface RelayRow {
  readonly subject: string
  readonly answers: string
  /** Processor time a request, of all threads: what is learnt in the background counts. */
  readonly cpuUs: number
  readonly cpuRange: string
  /** Of the thread that serves. */
  readonly servingUs: number
  /** Of processor time, to the bare proxy beside it in the same round. */
  readonly ratio: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly errors: number
  readonly matchedShare: number
}

export async function benchRelay({ rounds, seconds, gateway }: RelayOptions): Promise<RelayRow[]> {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-relay-'))
  const files = demoTokenizerFiles()
  await writeFile(join(folder, 'tokenizer.json'), files.tokenizerJson)
  await writeFile(join(folder, 'tokenizer_config.json'), files.tokenizerConfigJson)
  const started: { stop(): void }[] = []
  const keep = <T extends { stop(): void }>(one: T) => (started.push(one), one)
  try {
    const shareScope = 'bench'
    const upstream = keep(
      await startProcess('./engines.ts', {
        engines: ENGINES,
        prefixSecret: SECRETS.ISOTHERM_PREFIX_SECRET,
        shareScope,
      }),
    )
    const engines = upstream.ready['engines'] as { url: string; events: string; replay: string }[]
    const config = agentConfig(engines, folder, shareScope)
    const agent = keep(await startProcess('./agent.ts', { config, secrets: SECRETS }))
    const bare = keep(await startProcess('./bare-proxy.ts', { url: engines[0]?.url }))
    const twin = keep(await startProcess('./bare-proxy.ts', { url: engines[0]?.url }))
    const subjects: Subject[] = [
      subjectOf('bare proxy', bare),
      subjectOf('bare proxy again', twin),
      subjectOf('agent', agent),
    ]
    if (gateway !== undefined)
      subjects.push(
        keep(
          await startGateway(
            gateway,
            engines.map(({ url }) => url),
          ),
        ),
      )
    const rows: RelayRow[] = []
    for (const isStream of [false, true]) {
      // Prompts are learnt and code is warm before anything counts.
      for (const subject of subjects) await measure(subject, isStream, 2)
      await sleep(2000)
      const samples = subjects.map((): Sample[] => [])
      for (let round = 0; round < rounds; round++)
        for (const [i, subject] of subjects.entries())
          samples[i]?.push(await measure(subject, isStream, seconds))
      rows.push(...subjects.map(({ name }, i) => rowOf(name, isStream, samples[i] ?? [], samples[0] ?? [])))
    }
    return rows
  } finally {
    for (const one of started) one.stop()
    await rm(folder, { recursive: true })
  }
}

async function measure({ url, cpu }: Subject, isStream: boolean, seconds: number): Promise<Sample> {
  const before = await cpu()
  const load = await startProcess('./load.ts', { url, connections: CONNECTIONS, seconds, isStream })
  const after = await cpu()
  const result = load.ready as unknown as LoadResult
  const each = (us: number) => us / Math.max(result.requests, 1)
  const serving = (after.servingUs ?? after.allUs) - (before.servingUs ?? before.allUs)
  return { ...result, cpuUs: each(after.allUs - before.allUs), servingUs: each(serving) }
}

function rowOf(
  subject: string,
  isStream: boolean,
  samples: readonly Sample[],
  base: readonly Sample[],
): RelayRow {
  const of = (read: (sample: Sample) => number) => median(samples.map(read))
  const cpus = samples.map(({ cpuUs }) => Math.round(cpuUs))
  const sum = (read: (sample: Sample) => number) => samples.reduce((total, sample) => total + read(sample), 0)
  return {
    subject,
    answers: isStream ? 'streamed' : 'plain',
    cpuUs: Math.round(of(({ cpuUs }) => cpuUs)),
    cpuRange: `${Math.min(...cpus)}-${Math.max(...cpus)}`,
    servingUs: Math.round(of(({ servingUs }) => servingUs)),
    ratio: Number(median(samples.map(({ cpuUs }, i) => cpuUs / (base[i]?.cpuUs ?? cpuUs))).toFixed(2)),
    perSecond: Math.round(of(({ requests, seconds }) => requests / seconds)),
    p50Ms: Number(of(({ p50Ms }) => p50Ms).toFixed(1)),
    p99Ms: Number(of(({ p99Ms }) => p99Ms).toFixed(1)),
    errors: sum(({ errors }) => errors),
    matchedShare: Number(
      (
        sum(({ matched }) => matched) /
        Math.max(
          sum(({ requests }) => requests),
          1,
        )
      ).toFixed(3),
    ),
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

function subjectOf(name: string, { ready, cpu }: BenchProcess): Subject {
  return { name, url: String(ready['url']), cpu }
}

function agentConfig(
  engines: readonly { url: string; events: string; replay: string }[],
  tokenizerDir: string,
  shareScope: string,
) {
  return {
    cluster: 'bench',
    region: 'bench',
    listen: { host: '127.0.0.1', port: 0 },
    models: [{ model: RELAY_MODEL, tokenizerDir, contextTokensMax: 131_072, kvBytesPerToken: 262_144 }],
    endpoints: engines.map(({ url, events, replay }, i) => ({
      endpoint: `engine-${i}`,
      url,
      events,
      replay,
      profile: engineProfile(20),
    })),
    standalone: { tenant: 'bench', shareScope },
  }
}

/** SGLang's gateway, with its cache-aware policy. */
async function startGateway(path: string, urls: readonly string[]): Promise<Subject & { stop(): void }> {
  const port = await freePort()
  const child = spawn(
    path,
    [
      'launch',
      '--host',
      '127.0.0.1',
      '--port',
      String(port),
      '--policy',
      'cache_aware',
      '--log-level',
      'error',
      '--worker-urls',
      ...urls,
    ],
    { stdio: 'ignore' },
  )
  const url = `http://127.0.0.1:${port}`
  for (let i = 0; i < 300; i++) {
    const isReady = await fetch(`${url}/readiness`)
      .then(({ ok }) => ok)
      .catch(() => false)
    if (isReady) break
    await sleep(100)
  }
  const { pid } = child
  if (pid === undefined) throw new Error(`${path} did not start`)
  return { name: 'smg (cache_aware)', url, cpu: () => cpuOf(pid), stop: () => void child.kill() }
}
