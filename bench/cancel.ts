/** How long an engine goes on prefilling for a client that has left, on bare workerd, from the client's abort on. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { LOCAL_MODEL } from '../cli/local/topology.ts'
import { startProduct, type Product } from '../cli/product.ts'
import { ROOT } from '../cli/root.ts'
import { describeMachine } from './machine.ts'

export interface BenchCancelOptions {
  readonly tries: number
  readonly port: number
}

/** Slow engines: this prompt takes tens of seconds to prefill. */
const ENGINE_SPEED = 0.2
const PROMPT_WORDS = 60_000
const POLL_MS = 5
const WAIT_MS_MAX = 30_000

const agentFileSchema = z.object({ endpoints: z.array(z.object({ url: z.string() })) })

export async function benchCancel({ tries, port }: BenchCancelOptions): Promise<void> {
  const folder = join(ROOT, '.isotherm', `bench-${port}`)
  const product = await startProduct({
    port,
    engineSpeed: ENGINE_SPEED,
    folder,
    onProgress: () => undefined,
    onCrash: (failure) => console.error(failure.message),
  })
  try {
    const file = agentFileSchema.parse(JSON.parse(await readFile(join(folder, 'agent-us-east.yaml'), 'utf8')))
    const engines = file.endpoints.map(({ url }) => url)
    const samples: number[] = []
    for (let i = 0; i < tries; i++) samples.push(await measureCancel(product, engines, i))
    samples.sort((a, b) => a - b)
    const ms = (value: number | undefined) => `${Math.round(value ?? 0)} ms`
    const { cpu, cores, commit } = describeMachine()
    console.log(
      `client gone to engine free, in prefill, ${tries} tries: min ${ms(samples[0])}, median ${ms(samples[tries >> 1])}, max ${ms(samples.at(-1))}`,
    )
    console.log(`${cores} cores (${cpu}), Node ${process.version}, commit ${commit}`)
  } finally {
    await product.stop()
  }
}

async function measureCancel(product: Product, engines: readonly string[], index: number): Promise<number> {
  const leaving = new AbortController()
  const request = fetch(`${product.baseUrl}/chat/completions`, {
    method: 'POST',
    signal: leaving.signal,
    headers: { authorization: `Bearer ${product.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: LOCAL_MODEL,
      stream: true,
      messages: [{ role: 'user', content: `${index} ${'bada '.repeat(PROMPT_WORDS)}` }],
    }),
  })
  request.catch(() => undefined)
  await until(async () => (await countBusy(engines)) > 0)
  // Past the moment at which the edge opens the stream by itself.
  await sleep(500)
  const startMs = performance.now()
  leaving.abort()
  await until(async () => (await countBusy(engines)) === 0)
  return performance.now() - startMs
}

async function countBusy(engines: readonly string[]): Promise<number> {
  const texts = await Promise.all(engines.map(async (url) => (await fetch(`${url}/metrics`)).text()))
  return texts.reduce((sum, text) => sum + readGauge(text, 'running') + readGauge(text, 'waiting'), 0)
}

function readGauge(metrics: string, name: string): number {
  return Number(new RegExp(`^vllm:num_requests_${name}\\{[^}]*\\} (\\S+)`, 'm').exec(metrics)?.[1] ?? 0)
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const giveUpMs = performance.now() + WAIT_MS_MAX
  while (!(await condition())) {
    if (performance.now() > giveUpMs) throw new Error(`waited more than ${WAIT_MS_MAX} ms`)
    await sleep(POLL_MS)
  }
}
