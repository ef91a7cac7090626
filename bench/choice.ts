/** How long a choice takes: pricing a prompt at every endpoint, the pairs, the bookings, and the queue above the knee. */
import { writeFile } from 'node:fs/promises'
import { AdmissionQueue } from '../cluster-agent/admission/queue.ts'
import { Room } from '../cluster-agent/admission/room.ts'
import { BlockIndex } from '../cluster-agent/blocks/block-index.ts'
import { PrefixLedger } from '../cluster-agent/ledger/prefix-ledger.ts'
import { enterPrompt } from '../cluster-agent/prompt/chain-marks.ts'
import { TokenRatio } from '../cluster-agent/prompt/token-ratio.ts'
import { AdapterSlots } from '../cluster-agent/routing/adapter-slots.ts'
import { Bookings } from '../cluster-agent/routing/bookings.ts'
import type { Endpoint, Role } from '../cluster-agent/routing/endpoint.ts'
import { pricePrompt, type ClusterState } from '../cluster-agent/routing/price-prompt.ts'
import { selectPair } from '../cluster-agent/routing/select.ts'
import { Speculation } from '../cluster-agent/routing/speculation.ts'
import { describeMachine } from './machine.ts'

const CHOICES = 5000
const WARM_UP = 1000
const BLOCK_TOKENS = 16
const PROMPT_TOKENS = 6512
const PROMPTS = 16
const MARKERS = 60
const SEQUENCES = 100
const TRIED: ReadonlySet<number> = new Set()

export async function benchChoice(options: { readonly json?: string | boolean }): Promise<void> {
  const rows = [8, 64, 256].map((endpoints) => measure(endpoints))
  const result = { machine: describeMachine(), promptTokens: PROMPT_TOKENS, sequences: SEQUENCES, rows }
  if (typeof options.json === 'string') await writeFile(options.json, `${JSON.stringify(result, null, 2)}\n`)
  if (options.json === true) console.log(JSON.stringify(result, null, 2))
  else console.table(rows)
}

/** A third of the endpoints prefills, a third decodes, a third does both; a third holds each prompt, on one tier or two. */
function measure(count: number) {
  const roles: readonly Role[] = ['prefill', 'decode', 'both']
  const endpoints = Array.from({ length: count }, (_, number) =>
    endpointOf(number, roles[number % 3] ?? 'both'),
  )
  const bookings = new Bookings(endpoints.map(({ profile }) => profile.kvTokens))
  const cluster: ClusterState = { endpoints, bookings, adapters: new AdapterSlots(), unavailable: () => null }
  const index: BlockIndex = new BlockIndex('m', count, (block, isLoss) => ledger.noteBlock(block, isLoss))
  const ledger = new PrefixLedger(index, count)
  const knowledge = { index, ledger, ratio: new TokenRatio(), speculation: new Speculation() }
  const prompts = Array.from({ length: PROMPTS }, (_, at) => enter(index, ledger, at, count))
  for (const { number } of endpoints)
    for (let i = 0; i < SEQUENCES; i++) bookings.bookDecode(number, `${number} ${i}`, 2000, 0, 200)
  const shape = (markers: Uint32Array) => ({
    promptBytes: PROMPT_TOKENS * 4,
    markers,
    adapter: null,
    kvBytesPerToken: 262_144,
    answerTokens: 200,
    isSplittable: true,
    sloTtftMs: 2000,
    sloItlMs: null,
  })
  const wholeUs: number[] = []
  const pairsUs: number[] = []
  let cpuUs = 0
  let choices = 0
  for (let i = 0; i < WARM_UP + CHOICES; i++) {
    const markers = prompts[i % PROMPTS] ?? new Uint32Array(0)
    if (i === WARM_UP) cpuUs = -threadCpuUs()
    const startMs = performance.now()
    const { size, candidates } = pricePrompt(cluster, knowledge, shape(markers), TRIED, i)
    const pricedMs = performance.now()
    const best = selectPair(candidates, size).ranked[0]?.candidate
    const selectedMs = performance.now()
    if (best) {
      choices++
      const { number } = best.prefill.endpoint
      knowledge.speculation.note(number, markers, i)
      bookings.bookPrefill(number, `p ${i}`, best.prefillMs, 0, i, { newTokens: 100 })
      bookings.bookDecode(best.decode.endpoint.number, `p ${i}`, PROMPT_TOKENS, i, 200)
      bookings.releasePrefill(number, `p ${i}`, i + 1)
      bookings.releaseDecode(best.decode.endpoint.number, `p ${i}`)
    }
    if (i < WARM_UP) continue
    wholeUs.push((performance.now() - startMs) * 1000)
    pairsUs.push((selectedMs - pricedMs) * 1000)
  }
  cpuUs += threadCpuUs()
  return {
    endpoints: count,
    choices,
    'decision p50 us': quantile(wholeUs, 0.5),
    'decision p90 us': quantile(wholeUs, 0.9),
    'decision p99 us': quantile(wholeUs, 0.99),
    'CPU mean us': round(cpuUs / CHOICES),
    'of it the pairs p50 us': quantile(pairsUs, 0.5),
    'choices a second of CPU': Math.round((1e6 * CHOICES) / cpuUs),
    'admission p50 us': admissionUs(endpoints, bookings),
  }
}

/** Comes, is looked at with all others, and goes, with a full queue of 64 tenants. */
function admissionUs(endpoints: readonly Endpoint[], bookings: Bookings): number {
  const queue = new AdmissionQueue({ requestsMax: 1024, bytesMax: 1e9 })
  const samples: number[] = []
  for (let i = 0; i < 4000; i++) {
    const startMs = performance.now()
    const waiting = {
      id: String(i),
      tenant: `t${i % 64}`,
      priority: (i % 3) - 1,
      workMs: 1 + ((i * 7919) % 1000),
      kvTokens: 100,
      bytes: 1000,
      arrivedMs: i,
      deadlineMs: 1e9,
    }
    queue.offer(waiting, endpoints.length, i)
    const room = new Room(
      endpoints.map((endpoint) => ({ endpoint, load: bookings.load(endpoint.number, i) })),
      500,
    )
    const next = i < 1000 ? null : queue.next(i, ({ kvTokens }) => room.fits(kvTokens))
    if (next) queue.serve(next, i)
    if (i >= 1500) samples.push((performance.now() - startMs) * 1000)
  }
  return quantile(samples, 0.5)
}

function enter(index: BlockIndex, ledger: PrefixLedger, at: number, count: number): Uint32Array {
  const tokens = Array.from({ length: PROMPT_TOKENS }, (_, i) => (i < 1600 ? i : i * 31 + at * 7919) & 0xffff)
  const markers = new Uint32Array(MARKERS * 3)
  const certainTokens: number[] = []
  for (let i = 0; i < MARKERS; i++) {
    markers.set([((i + 1) * PROMPT_TOKENS * 4) / MARKERS, at * MARKERS + i, 77], i * 3)
    certainTokens.push(Math.floor(((i + 1) * PROMPT_TOKENS) / MARKERS))
  }
  const hashes = Array.from({ length: PROMPT_TOKENS / BLOCK_TOKENS }, (_, i) => BigInt(at * 1e6 + i))
  for (let endpoint = at % 3; endpoint < count; endpoint += 3) {
    for (const medium of endpoint % 2 === 0 ? ['GPU', 'CPU'] : ['CPU']) {
      index.apply(endpoint, {
        kind: 'stored',
        hashes,
        parent: null,
        tokens,
        blockTokens: BLOCK_TOKENS,
        lora: null,
        extraKeys: [],
        medium,
        group: 0,
        groupKind: 'full_attention',
      })
    }
  }
  enterPrompt(index, ledger, { lora: null, salt: null, tokens, markers, certainTokens })
  return markers
}

function endpointOf(number: number, role: Role): Endpoint {
  return {
    number,
    name: `e${number}`,
    role,
    version: '0.32.0',
    profile: {
      prefill: { fixedMs: 30, msPerToken: 1 / 15.928, msPerTokenPair: 2e-6 },
      decodeStepMs: 13,
      decodeMsPerSequence: 0.1,
      decodeMsPerContextToken: 5.6e-5,
      batchTokensMax: 4096,
      kvTokens: 307_328,
      tiers: { cpu: { floorMs: 0, bytesPerMs: 50e6 } },
      transfer: { floorMs: 2, bytesPerMs: 40e6 },
      peerPull: { floorMs: 30, bytesPerMs: 15e6 },
    },
  }
}

/** Processor time of this thread: on a busy machine the wall clock also measures who else was running. */
function threadCpuUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)
}

function round(value: number): number {
  return Number(value.toPrecision(3))
}
