/** Requests that are held, against the real clock, without engines. */
import { afterEach, expect, test } from 'vitest'
import { Cluster } from '../../cluster-agent/cluster.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import { WaitingRoom, type Entrant } from '../../cluster-agent/waiting-room.ts'
import { RouteError } from '../../protocol/errors.ts'
import { TEST_SECRETS } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

const rooms: WaitingRoom[] = []
afterEach(() => {
  for (const room of rooms.splice(0)) room.close()
})

function open(admission: Record<string, number> = {}) {
  const config = parseAgentConfig(
    {
      cluster: 'c',
      region: 'r',
      listen: { host: '127.0.0.1', port: 0 },
      models: [{ model: 'm', contextTokensMax: 1e6, kvBytesPerToken: 1000 }],
      endpoints: [
        {
          endpoint: 'e',
          url: 'http://127.0.0.1:1',
          events: 'tcp://127.0.0.1:1',
          profile: {
            prefill: { fixedMs: 0, msPerToken: 0.1, msPerTokenPair: 0 },
            decodeStepMs: 10,
            kvTokens: 100_000,
          },
        },
      ],
      admission,
    },
    TEST_SECRETS,
  )
  const cluster = new Cluster(config)
  cluster.setUnavailable(0, null)
  const room = new WaitingRoom(cluster)
  rooms.push(room)
  /** Until it is released, the endpoint has more work than may wait there. */
  const fill = () => {
    cluster.bookings.bookPrefill(0, 'filler', 10_000, 0, performance.now())
    return () => cluster.bookings.releasePrefill(0, 'filler', performance.now())
  }
  const entrant = (more: Partial<Entrant> & { tokens?: number } = {}): Entrant => ({
    tenant: 't',
    priority: 0,
    prompt: {
      model: config.models[0]!,
      promptBytes: (more.tokens ?? 1000) * 4,
      markers: new Uint32Array(0),
      outputTokensMax: 10,
      isSplittable: true,
    },
    bodyBytes: 100,
    patienceMs: null,
    elsewhereMs: null,
    signal: new AbortController().signal,
    ...more,
  })
  return { cluster, room, fill, entrant }
}

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => null,
    (error: unknown) => (error instanceof RouteError ? error : null),
  )

test('while there is room nothing is held', async () => {
  const { room, entrant } = open()
  expect(await room.enter(entrant())).toBe(true)
  expect(room.counts).toMatchObject({ passed: 1, held: 0 })
})

test('a request that another cluster answers sooner is not held: it is to leave at once', async () => {
  const { room, fill, entrant } = open()
  fill()
  expect(await room.enter(entrant({ elsewhereMs: 10 }))).toBe(true)
  expect(room.counts).toMatchObject({ held: 0 })
})

test('above the knee requests are held until there is room; the directories hear of their work', async () => {
  const { cluster, room, fill, entrant } = open()
  const release = fill()
  const held = [room.enter(entrant()), room.enter(entrant({ tokens: 20 }))]
  expect(cluster.queue.size).toBe(2)
  const [load] = cluster.loads(performance.now())
  expect(load!.backlogMs).toBeGreaterThan(10_000)
  release()
  expect(await Promise.all(held)).toEqual([true, true])
  expect(cluster.queue.size).toBe(0)
})

test('one goes as one fits: the small first, the rest when its booking is gone', async () => {
  const { cluster, room, fill, entrant } = open({ holdMs: 50 })
  const release = fill()
  const order: string[] = []
  const enter = (name: string, tokens: number) =>
    room.enter(entrant({ tokens })).then(() => {
      order.push(name)
      cluster.bookings.bookPrefill(0, name, tokens, 0, performance.now())
    })
  const both = [enter('large', 5000), enter('small', 500)]
  release()
  await until('the first to go', () => order.length === 1)
  expect(order).toEqual(['small'])
  expect(cluster.queue.size).toBe(1)
  cluster.bookings.releasePrefill(0, 'small', performance.now())
  await Promise.all(both)
  expect(order).toEqual(['small', 'large'])
})

test('who cannot be served in time is told at once when to come again', async () => {
  const { room, fill, entrant } = open()
  fill()
  for (let i = 0; i < 50; i++) void refusal(room.enter(entrant()))
  const error = await refusal(room.enter(entrant({ patienceMs: 1000 })))
  expect(error).toMatchObject({ code: 'overloaded' })
  expect(error!.retryAfterMs).toBeGreaterThanOrEqual(1000)
  expect(error!.message).toContain('too-long-a-wait')
})

test('a wait that turns out too long ends at the deadline', async () => {
  const { cluster, room, fill, entrant } = open()
  fill()
  const error = await refusal(room.enter(entrant({ patienceMs: 250 })))
  expect(error!.message).toContain('waited-too-long')
  expect(cluster.queue.size).toBe(0)
})

test('a client that leaves frees its place at once', async () => {
  const { cluster, room, fill, entrant } = open({ requestsMax: 1 })
  fill()
  const client = new AbortController()
  const leaving = room.enter(entrant({ signal: client.signal }))
  expect((await refusal(room.enter(entrant())))!.message).toContain('queue-full')
  client.abort()
  expect(await leaving).toBe(false)
  expect([cluster.queue.size, cluster.queue.bytes]).toEqual([0, 0])
  void refusal(room.enter(entrant()))
  expect(cluster.queue.size).toBe(1)
  expect(await room.enter(entrant({ signal: client.signal }))).toBe(false)
})

test('the more urgent takes a place of the full queue, and whoever had it is told', async () => {
  const { room, fill, entrant } = open({ requestsMax: 1 })
  const release = fill()
  const displaced = refusal(room.enter(entrant()))
  const urgent = room.enter(entrant({ priority: 1 }))
  expect((await displaced)!.message).toContain('displaced')
  release()
  expect(await urgent).toBe(true)
})

test('when every endpoint is gone nobody is held: the fault is another one', async () => {
  const { cluster, room, fill, entrant } = open()
  fill()
  const held = room.enter(entrant())
  cluster.setUnavailable(0, 'unhealthy')
  expect(await held).toBe(true)
  expect(await room.enter(entrant())).toBe(true)
})

test('a cluster that drains sends those who wait elsewhere', async () => {
  const { cluster, room, fill, entrant } = open()
  fill()
  const waiting = refusal(room.enter(entrant()))
  room.close()
  expect(await waiting).toMatchObject({ code: 'overloaded', kind: { retry: 'elsewhere' } })
  expect((await refusal(room.enter(entrant())))!.message).toContain('draining')
  expect(cluster.queue.size).toBe(0)
})
