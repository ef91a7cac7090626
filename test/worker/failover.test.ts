import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  CHAT,
  CLUSTERS,
  completion,
  envelopeOf,
  knownEverywhere,
  newWorld,
  silence,
  status,
  stream,
  type ClusterName,
  type Serve,
} from './edge-world.ts'
import { known } from './plan/candidates.ts'

/** Failover and duplicates as properties: whatever clusters do, these hold. */
afterEach(() => {
  vi.unstubAllGlobals()
})

const EVENT = 'data: {"n":1}\n\n'
const encoder = new TextEncoder()

function brokenAfter(chunks: number): Serve {
  return () => {
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (sent++ < chunks) controller.enqueue(encoder.encode(EVENT))
        else controller.error(new Error('died'))
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
}

const BEHAVIOURS = {
  well: ({ path }) => (path === '' ? stream() : stream(EVENT, 'data: [DONE]\n\n')),
  refused: () => Promise.reject(new Error('connect')),
  overloaded: status(429),
  slower: (arrival) =>
    envelopeOf(arrival).elsewhereMs !== null
      ? status(429, { 'x-isotherm-elsewhere': '900' })(arrival)
      : stream(EVENT),
  unavailable: status(503),
  failing: status(500),
  wrong: status(400),
  'dead before the first event': brokenAfter(0),
  'dead after the first event': brokenAfter(1),
} satisfies Record<string, Serve>
type Behaviour = keyof typeof BEHAVIOURS
/** Behaviours that answer a client, for better or worse. */
const ENDS: readonly Behaviour[] = ['well', 'wrong', 'dead after the first event']

test('attempts stay within the bound, only in allowed regions, and none follows a byte', async () => {
  const behaviour = fc.constantFrom(...(Object.keys(BEHAVIOURS) as Behaviour[]))
  await fc.assert(
    fc.asyncProperty(
      fc.record({ 'us-east-1': behaviour, 'eu-central-1': behaviour, 'ap-northeast-1': behaviour }),
      fc.integer({ min: 1, max: 5 }),
      fc.subarray(['us-east', 'eu-central', 'ap-northeast'], { minLength: 1 }),
      fc.boolean(),
      async (does, attemptsMax, regions, isBackground) => {
        const serve = Object.fromEntries(
          CLUSTERS.map((cluster) => [cluster, BEHAVIOURS[does[cluster]]]),
        ) as Record<ClusterName, Serve>
        const world = newWorld({ serve, policy: { attemptsMax, regions } })
        const asked = isBackground
          ? { path: '/v1/responses', body: { model: CHAT.model, input: 'x', stream: true, background: true } }
          : { body: { ...CHAT, stream: true } }
        const answer = await world.ask(asked)
        const tried = world.arrivals.map(({ cluster }) => cluster)
        expect(tried.length).toBeLessThanOrEqual(attemptsMax)
        // Nobody is asked twice but the one that was left for a better one, and that one once more.
        const again = tried.filter((cluster, i) => tried.indexOf(cluster) < i)
        expect(again.length).toBeLessThanOrEqual(1)
        for (const cluster of again) expect([cluster, does[cluster]]).toEqual([tried[0], 'slower'])
        expect(tried.every((cluster) => regions.includes(cluster.slice(0, -2)))).toBe(true)
        // All but the last gave no byte, and none of what must not be done twice was done before.
        for (const cluster of tried.slice(0, -1)) {
          expect(ENDS).not.toContain(does[cluster])
          if (isBackground) expect(['overloaded', 'unavailable', 'slower']).toContain(does[cluster])
        }
        // A cluster that could serve is not lost by leaving it, unless nobody knows what the one after it has done.
        if (does[tried[0] ?? 'us-east-1'] === 'slower' && !isBackground)
          expect([200, 400]).toContain(answer.status)
      },
    ),
    { numRuns: 150 },
  )
})

describe('duplicates of late streams', () => {
  const hedging = { quantile: 0.9, shareMax: 0.2 }
  const asked = { body: { ...CHAT, stream: true } }
  /** Both are warm: the near one is the plan's first. */
  const lookup = knownEverywhere({
    'us-east-1': known('us-east-1', { matchedBytes: 1200 }),
    'eu-central-1': known('eu-central-1', { matchedBytes: 1200 }),
  })
  /** Requests that earn the share of the next duplicate. */
  const earn = async (world: ReturnType<typeof newWorld>) => {
    for (let i = 0; i < 5; i++) await world.ask()
    world.arrivals.length = 0
  }

  test('go to the second warm cluster; the first to speak wins and the other is cancelled', async () => {
    let isLate = false
    const near: Serve = (arrival) => (isLate ? silence(arrival) : completion(arrival))
    const far: Serve = () => stream(EVENT)
    const world = newWorld({ lookup, policy: { hedging }, serve: { 'us-east-1': near, 'eu-central-1': far } })
    await earn(world)
    isLate = true
    const { text, receipt } = await world.ask(asked)
    expect(text).toContain(EVENT)
    expect(world.arrivals.map(({ cluster, signal }) => [cluster, signal.aborted])).toEqual([
      ['us-east-1', true],
      ['eu-central-1', false],
    ])
    // The stream may have been opened before: then a comment says it.
    expect(receipt?.attempt === 2 || /attempt=2; reason=hedge/.test(text)).toBe(true)
  })

  test('are paid for by other requests, and not sent where the policy has none', async () => {
    const late = { 'us-east-1': silence, 'eu-central-1': () => stream(EVENT) }
    const config = { stallFloorMs: 700, stallFactor: 1 }
    for (const policy of [{ hedging }, {}]) {
      const world = newWorld({ lookup, policy, serve: late, config })
      // Nothing is earned yet: the second cluster is tried when the first counts as silent, not before.
      const { text } = await world.ask(asked)
      expect(text).toContain(EVENT)
      expect(text).not.toContain('hedge')
      expect(world.arrivals[0]?.signal.aborted).toBe(true)
    }
  })

  test('are not sent to a cold cluster', async () => {
    let isLate = false
    const near: Serve = (arrival) => (isLate ? silence(arrival) : completion(arrival))
    const cold = knownEverywhere({ 'us-east-1': known('us-east-1', { matchedBytes: 1200 }) })
    const config = { stallFloorMs: 600, stallFactor: 1 }
    const serve = { 'us-east-1': near, 'eu-central-1': () => stream(EVENT) }
    const world = newWorld({ lookup: cold, policy: { hedging }, serve, config })
    await earn(world)
    isLate = true
    const { text } = await world.ask(asked)
    expect(text).not.toContain('reason=hedge')
  })
})
