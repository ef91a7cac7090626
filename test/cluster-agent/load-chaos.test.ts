/**
 * Trouble over real sockets while requests run: engines that die or fail, clients that leave, a queue that is too short.
 * Every request gets an answer or a refusal that says why, and nothing stays booked.
 */
import { afterEach, expect, test } from 'vitest'
import { until } from '../support/wait.ts'
import { MODEL, startRig, type EngineSpec, type Rig } from './review/rig.ts'

const ENGINES: readonly EngineSpec[] = [
  { name: 'p0', role: 'prefill' },
  { name: 'p1', role: 'prefill' },
  { name: 'd0', role: 'decode' },
  { name: 'd1', role: 'decode' },
  { name: 'b0', role: 'both' },
]
const REQUESTS = 72
const IN_FLIGHT = 16
/** A busy machine is silent for a while too: engines that fall silent are another test's matter. */
const SILENCE_MS = 60_000
/** On a busy machine a storm takes its time. */
const STORM_MS_MAX = 90_000

let rig: Rig
afterEach(() => rig.stop())

/** A fixed sequence for each seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}

interface Ending {
  readonly kind: 'whole' | 'left' | 'cut' | 'refused'
  readonly status: number
  readonly code: string | null
  readonly retryAfter: string | null
}

async function ask(next: () => number, priority: number): Promise<Ending> {
  const leaving = new AbortController()
  const leaves = next() < 0.25
  const words = 20 + Math.floor(next() ** 3 * 3000)
  const stream = next() < 0.7
  if (leaves) setTimeout(() => leaving.abort(), next() * 150)
  try {
    const response = await rig.complete(
      {
        model: MODEL,
        messages: [{ role: 'user', content: `${Math.floor(next() * 20)} `.repeat(words) }],
        max_tokens: 1 + Math.floor(next() * 30),
        stream,
      },
      { signal: leaving.signal, headers: { 'x-request-id': `r${priority}` } },
    )
    const text = await response.text()
    const retryAfter = response.headers.get('retry-after')
    const code = /"code": ?"(\w+)"/.exec(text)?.[1] ?? null
    const kind = response.status >= 400 ? 'refused' : text.includes('"error"') ? 'cut' : 'whole'
    return { kind, status: response.status, code, retryAfter }
  } catch (error) {
    if (leaving.signal.aborted) return { kind: 'left', status: 0, code: null, retryAfter: null }
    // A whole answer of an engine that died in the middle must not look whole: its connection breaks.
    return { kind: 'cut', status: 0, code: String(error), retryAfter: null }
  }
}

async function storm(seed: number, trouble: (at: number) => void): Promise<Ending[]> {
  const next = random(seed)
  const endings: Ending[] = []
  let at = 0
  const one = async () => {
    while (at < REQUESTS) {
      trouble(at)
      at++
      endings.push(await ask(next, at % 3))
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, one))
  return endings
}

async function expectNothingBooked(): Promise<void> {
  const { cluster } = rig.agent
  await until('everything booked to be released', () => cluster.bookings.count === 0)
  expect([cluster.queue.size, cluster.queue.bytes, cluster.queue.queuedMs]).toEqual([0, 0, 0])
  for (const { number } of cluster.endpoints)
    expect(cluster.bookings.booked(number, performance.now())).toEqual({
      waiting: 0,
      decoding: 0,
      contextTokens: 0,
    })
  await until('the engines to be idle', () =>
    [...rig.engines.values()].every((engine) => engine.stats().running + engine.stats().waiting === 0),
  )
}

test(
  'engines die and fail under load: no booking stays, no request is lost that could be served',
  async () => {
    rig = await startRig(ENGINES, { silenceMsMax: SILENCE_MS })
    const endings = await storm(1, (at) => {
      if (at === 10) rig.engine('p0').faults.failStatus = 500
      if (at === 20) rig.engine('d0').faults.failStatus = 503
      if (at === 30) rig.engine('p0').faults.failStatus = null
      if (at === 36) rig.engine('p1').kill()
      if (at === 44) rig.engine('d0').faults.failStatus = null
      if (at === 48) rig.engine('d1').kill()
    })
    expect(endings).toHaveLength(REQUESTS)
    const refused = endings.filter(({ kind }) => kind === 'refused')
    // Others could serve them, so nobody is refused; only streams that an engine's death cut in the middle are not whole.
    expect(refused.map(({ code }) => code)).toEqual([])
    expect(endings.filter(({ kind }) => kind === 'cut').length).toBeLessThanOrEqual(2 * IN_FLIGHT)
    expect(endings.filter(({ kind }) => kind === 'whole').length).toBeGreaterThan(REQUESTS / 3)
    await expectNothingBooked()
  },
  STORM_MS_MAX,
)

test(
  'above the knee requests are held or told when to come again, and the load returns to nothing',
  async () => {
    const admission = { holdMs: 5, requestsMax: 2, waitMsMax: 5000 }
    const options = { admission, silenceMsMax: SILENCE_MS }
    rig = await startRig(
      [
        { name: 'b0', role: 'both' },
        { name: 'b1', role: 'both' },
      ],
      options,
      2,
    )
    const endings = await storm(2, () => undefined)
    expect(endings).toHaveLength(REQUESTS)
    for (const { kind, status, code, retryAfter } of endings) {
      expect(['whole', 'left', 'refused']).toContain(kind)
      if (kind !== 'refused') continue
      expect([status, code]).toEqual([429, 'overloaded'])
      expect(Number(retryAfter)).toBeGreaterThanOrEqual(1)
    }
    // The storm is wider than two engines and the queue: some must have been sent away, and some served.
    expect(endings.some(({ kind }) => kind === 'refused')).toBe(true)
    expect(endings.some(({ kind }) => kind === 'whole')).toBe(true)
    await expectNothingBooked()
  },
  STORM_MS_MAX,
)
