/**
 * What a request costs before it goes out: the body parsed, its canonical bytes and markers, the choice among endpoints. Its
 * prefix is known. Percentiles, because a slow one is felt by somebody. Requests during which the system gave the processor to
 * others are left out and counted.
 */
import { Cluster } from '../cluster-agent/cluster.ts'
import { parseAgentConfig } from '../cluster-agent/config.ts'
import { cleanBody } from '../cluster-agent/handoff/engine-body.ts'
import { enterPrompt } from '../cluster-agent/prompt/chain-marks.ts'
import { parseObject } from '../cluster-agent/request-body.ts'
import { selectPair } from '../cluster-agent/routing/select.ts'
import { markerCount, prefixMarkers } from '../core/prefix-markers.ts'
import { PromptWriter } from '../core/prompt-bytes.ts'
import { syntheticWord } from '../core/synthetic-words.ts'
import { engineProfile } from '../cli/local/topology.ts'

const KEY = { lo: 1, hi: 2 }
const TIMES = 400
const WARM_UP = 50
const TRIES_MAX = 5000
const SECRETS = {
  ISOTHERM_ENVELOPE_SECRET: 'bench-envelope-secret',
  ISOTHERM_PREFIX_SECRET: 'bench-prefix-secret',
  ISOTHERM_CLUSTER_TOKEN: 'bench-token',
}

type Row = Readonly<Record<string, string | number>>

export async function benchDecision(): Promise<Row[]> {
  const rows: Row[] = []
  for (const kilobytes of [25, 400])
    for (const endpoints of [4, 64]) rows.push(await measure(kilobytes, endpoints))
  return rows
}

async function measure(kilobytes: number, endpoints: number): Promise<Row> {
  const cluster = clusterOf(endpoints)
  const writer = new PromptWriter(new TextEncoder())
  const [model] = cluster.config.models
  if (!model) throw new Error('no model')
  const bodies = Array.from({ length: 8 }, (_, i) =>
    Buffer.from(JSON.stringify(chatBody(kilobytes * 1024, i))),
  )
  for (const bytes of bodies) {
    const markers = markersOf(writer, parseObject(bytes))
    const tokens = Uint32Array.from({ length: bytes.length >> 2 }, (_, at) => (at * 31) % 50_000)
    const share = tokens.length / Math.max(markers.at(-3) ?? 1, 1)
    const certainTokens = Array.from({ length: markerCount(markers) }, (_, at) =>
      Math.floor((markers[at * 3] ?? 0) * share),
    )
    const { index, ledger } = cluster.state(model)
    index.assumeBlockTokens(16)
    enterPrompt(index, ledger, { lora: null, salt: 's', tokens, markers, certainTokens })
  }
  const parse: number[] = []
  const mark: number[] = []
  const choose: number[] = []
  let preempted = 0
  for (let i = 0; parse.length < TIMES && i < TRIES_MAX; i++) {
    const switches = involuntarySwitches()
    const bytes = bodies[i % bodies.length] ?? Buffer.alloc(0)
    const start = performance.now()
    const { json } = cleanBody(bytes, parseObject(bytes))
    const parsed = performance.now()
    const markers = markersOf(writer, json)
    const marked = performance.now()
    const prompt = { model, promptBytes: bytes.length, markers, outputTokensMax: 100, isSplittable: true }
    const { candidates, size } = cluster.price(prompt, performance.now())
    if (selectPair(candidates, size).ranked.length === 0) throw new Error('no endpoint was chosen')
    const chosen = performance.now()
    const isDisturbed = involuntarySwitches() !== switches
    if (i >= WARM_UP && isDisturbed) preempted++
    if (i >= WARM_UP && !isDisturbed) {
      parse.push(parsed - start)
      mark.push(marked - parsed)
      choose.push(chosen - marked)
    }
    // Between requests others work, and garbage is collected.
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    body: `${kilobytes} KB`,
    endpoints,
    'parse p50 ms': at(parse, 0.5),
    'parse p99 ms': at(parse, 0.99),
    'markers p50 ms': at(mark, 0.5),
    'markers p99 ms': at(mark, 0.99),
    'choice p50 ms': at(choose, 0.5),
    'choice p99 ms': at(choose, 0.99),
    'left out': preempted,
  }
}

function markersOf(writer: PromptWriter, json: Readonly<Record<string, unknown>>): Uint32Array {
  const written = writer.write('chat', 'm', json)
  if (!written.ok) throw new Error(written.message)
  return prefixMarkers(written.prompt.bytes, written.prompt.messageEnds, KEY)
}

function clusterOf(endpoints: number): Cluster {
  const config = parseAgentConfig(
    {
      cluster: 'bench',
      region: 'bench',
      listen: { port: 0 },
      models: [{ model: 'm', contextTokensMax: 1_000_000, kvBytesPerToken: 262_144 }],
      endpoints: Array.from({ length: endpoints }, (_, i) => ({
        endpoint: `e-${i}`,
        url: 'http://127.0.0.1:1',
        events: 'tcp://127.0.0.1:1',
        profile: { ...engineProfile(1), kvTokens: 1_000_000 },
      })),
    },
    SECRETS,
  )
  const cluster = new Cluster(config)
  for (const { number } of cluster.endpoints) cluster.setUnavailable(number, null)
  return cluster
}

function chatBody(bytes: number, seed: number) {
  const messages: { role: string; content: string }[] = []
  for (let size = 0, i = 0; size < bytes; i++) {
    const content = Array.from({ length: 400 }, (_, at) =>
      syntheticWord(seed * 7919 + i * 977 + at * 31),
    ).join(' ')
    messages.push({ role: i % 2 === 0 ? 'user' : 'assistant', content })
    size += content.length
  }
  return { model: 'm', stream: true, messages }
}

function involuntarySwitches(): number {
  return process.resourceUsage().involuntaryContextSwitches
}

function at(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return Number((sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(3))
}
