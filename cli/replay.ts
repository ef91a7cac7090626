/** `isotherm replay`: plays a trace through a running endpoint, open loop, and prints what it measured. */
import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { SingleBar } from 'cli-progress'
import type { Routing } from '../protocol/edge-config.ts'
import { ReplayClient } from './replay-client.ts'
import { replayBody } from './replay/prompt.ts'
import { formatSummaries, summarize, type Outcome, type Summary } from './replay/summary.ts'
import { infiniteCacheShare, parseTraceLine, sessionKey, type TraceRequest } from './replay/trace.ts'
import { generateWorkload, seededRandom } from './replay/workload.ts'

export interface ReplayOptions {
  readonly trace?: string
  readonly minutes: number
  readonly speed: number
  readonly routing: Routing
  readonly baseUrl: string
  readonly apiKey?: string
  readonly model: string
  readonly callers: string
  readonly seed: number
  readonly json?: string
}

export class ReplayFailure extends Error {
  override readonly name = 'ReplayFailure'
}

/** Requests that may be under way at once; one more fails rather than wait, since waiting would bend the arrivals. */
const IN_FLIGHT_MAX = 10_000
const REQUESTS_MAX = 1_000_000

export async function replay(options: ReplayOptions): Promise<void> {
  const summary = await runReplay(options)
  process.stdout.write(`${formatSummaries([{ name: options.routing, summary }])}\n`)
  for (const [error, times] of Object.entries(summary.errors)) process.stdout.write(`  ${times} x ${error}\n`)
  if (options.json) await writeFile(options.json, `${JSON.stringify(summary, null, 2)}\n`)
  if (summary.failed > 0) process.exitCode = 1
}

export async function runReplay(options: ReplayOptions): Promise<Summary> {
  const { apiKey, baseUrl, routing, speed, model } = options
  if (!apiKey)
    throw new ReplayFailure('an API key is needed: --api-key, or ISOTHERM_API_KEY in the environment')
  if (!URL.canParse(baseUrl)) throw new ReplayFailure(`--base-url ${baseUrl} is no URL`)
  const callers = parseCallers(options.callers)
  const requests = options.trace
    ? await readTrace(options.trace, options.minutes)
    : generateWorkload({ minutes: options.minutes, seed: options.seed })
  if (requests.length === 0) throw new ReplayFailure('the trace has no request in that time')

  const client = new ReplayClient({ apiKey, routing, baseUrl: baseUrl.replace(/\/$/, '') })
  const bar = new SingleBar({
    format: '{bar} {value}/{total} answered, {failed} failed, {flying} under way',
    stream: process.stderr,
    noTTYOutput: false,
  })
  bar.start(requests.length, 0, { failed: 0, flying: 0 })
  const outcomes: Outcome[] = []
  let flying = 0
  const play = async (request: TraceRequest) => {
    flying++
    const outcome =
      flying > IN_FLIGHT_MAX
        ? ({ ok: false, error: `more than ${IN_FLIGHT_MAX} requests under way` } as const)
        : await client.send(replayBody(request, model), callerOf(callers, options.seed, sessionKey(request)))
    flying--
    outcomes.push(outcome)
    bar.update(outcomes.length, { failed: outcomes.filter(({ ok }) => !ok).length, flying })
  }
  const startMs = performance.now()
  const firstMs = requests[0]?.timestampMs ?? 0
  const plays: Promise<void>[] = []
  try {
    for (const request of requests) {
      const waitMs = (request.timestampMs - firstMs) / speed - (performance.now() - startMs)
      if (waitMs > 1) await sleep(waitMs)
      plays.push(play(request))
    }
    await Promise.all(plays)
  } finally {
    bar.stop()
    await client.close()
  }
  return summarize(outcomes, infiniteCacheShare(requests))
}

async function readTrace(file: string, minutes: number): Promise<TraceRequest[]> {
  const input = createReadStream(file)
  const requests: TraceRequest[] = []
  let lineNumber = 0
  try {
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      lineNumber++
      if (line.trim() === '') continue
      const request = parseTraceLine(line, lineNumber)
      if (request.timestampMs - (requests[0] ?? request).timestampMs >= minutes * 60_000) break
      if (requests.length >= REQUESTS_MAX) throw new Error(`more than ${REQUESTS_MAX} requests`)
      requests.push(request)
    }
  } catch (error) {
    throw new ReplayFailure(`${file}: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    input.destroy()
  }
  return requests
}

/** Where callers are unless told otherwise: most of them in one region, as a working day goes. */
export const CALLERS_USUAL = 'IAD:60,FRA:25,NRT:15'

interface Caller {
  readonly colo: string
  readonly weight: number
}

/** `IAD:60,FRA:25` */
function parseCallers(text: string): Caller[] {
  return text.split(',').map((pair) => {
    const match = /^([A-Z]{3}):(\d+(?:\.\d+)?)$/.exec(pair.trim())
    if (!match) throw new ReplayFailure(`--callers: ${pair} is not LOCATION:WEIGHT, such as IAD:60`)
    return { colo: match[1] ?? '', weight: Number(match[2]) }
  })
}

/** A session has one home: its turns come from the same edge location. */
function callerOf(callers: readonly Caller[], seed: number, session: number): string {
  const total = callers.reduce((sum, { weight }) => sum + weight, 0)
  let at = seededRandom(Math.imul(session + 1, 0x9e3779b1) ^ seed)() * total
  for (const { colo, weight } of callers) {
    at -= weight
    if (at < 0) return colo
  }
  return callers[0]?.colo ?? ''
}
