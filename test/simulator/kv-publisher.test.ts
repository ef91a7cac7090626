import { decode } from '@msgpack/msgpack'
import { Dealer, Subscriber } from 'zeromq'
import { afterEach, expect, test } from 'vitest'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import type { EngineOptionsInput } from '../../simulator/engine-options.ts'
import { range } from './drive.ts'
import type { AnyJson } from './fixtures.ts'
import { until } from '../support/wait.ts'

const VERSIONS = ['0.32.0', '0.23.0'] as const
const started: { stop(): unknown }[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map((part) => part.stop()))
})

async function start(options: Partial<EngineOptionsInput> = {}): Promise<RunningEngine> {
  const profile = { cpuKvTokens: 0 }
  const engine = await startEngine({ name: 'e', speed: 100, topic: 'kv@e@demo', profile, ...options })
  started.push(engine)
  return engine
}

async function store(engine: RunningEngine, from: number): Promise<void> {
  const response = await fetch(`${engine.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: range(from, 40), max_tokens: 1 }),
  })
  expect(response.status).toBe(200)
  await response.text()
}

interface Subscription {
  readonly messages: Buffer[][]
}

async function subscribe(engine: RunningEngine): Promise<Subscription> {
  const socket = new Subscriber({ linger: 0 })
  const messages: Buffer[][] = []
  socket.connect(engine.eventsEndpoint)
  socket.subscribe('')
  started.push({ stop: () => socket.close() })
  void (async () => {
    for await (const frames of socket) messages.push(frames)
  })().catch(() => undefined)
  // A subscription is made when its first message arrives; stores of other prompts make them.
  let from = 1_000_000
  await until('the subscription stands', async () => {
    await store(engine, (from += 1000) % 8000)
    return messages.length > 0
  })
  return { messages }
}

async function replay(engine: RunningEngine, request: readonly (string | Buffer)[]): Promise<Buffer[][]> {
  const socket = new Dealer({ linger: 0, receiveTimeout: 10_000 })
  socket.connect(engine.replayEndpoint)
  started.push({ stop: () => socket.close() })
  await socket.send([...request])
  const replies: Buffer[][] = []
  for await (const frames of socket) {
    replies.push(frames)
    if (frames.at(-2)?.toString('hex') === 'ffffffffffffffff') break
  }
  return replies
}

function seqBytes(seq: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(seq))
  return bytes
}

test.each(VERSIONS)('batches of %s arrive live in three frames, numbered without a gap', async (version) => {
  const engine = await start({ version })
  const { messages } = await subscribe(engine)
  const before = messages.length
  await store(engine, 1)
  await until('its batch', () => messages.length > before)
  for (const frames of messages) {
    expect(frames).toHaveLength(3)
    expect(frames[0]!.toString()).toBe('kv@e@demo')
    const [ts, events, rank] = decode(frames[2]!, { useBigInt64: true }) as [number, AnyJson[], unknown]
    expect(ts).toBeGreaterThan(1.7e9)
    expect(Number(rank)).toBe(0)
    const kind = version === '0.32.0' ? events[0].type : events[0][0]
    expect(kind).toBe('BlockStored')
  }
  const seqs = messages.map((frames) => Number(frames[1]!.readBigUInt64BE()))
  expect(seqs).toEqual(range(seqs[0]!, seqs.length))
})

test.each(VERSIONS)('replay of %s starts where it is asked to and ends with its mark', async (version) => {
  const engine = await start({ version })
  for (const from of [0, 100, 200]) await store(engine, from)
  const frameCount = version === '0.32.0' ? 4 : 3
  const all = await replay(engine, ['', seqBytes(0)])
  expect(all.map((frames) => frames.length)).toEqual(Array.from({ length: 4 }, () => frameCount))
  expect(all.slice(0, 3).map((frames) => Number(frames.at(-2)!.readBigUInt64BE()))).toEqual([0, 1, 2])
  expect(all[0]![0]!.length).toBe(0)
  if (version === '0.32.0') expect(all[0]![1]!.toString()).toBe('kv@e@demo')
  expect(all[3]!.at(-1)!.length).toBe(0)
  expect(await replay(engine, ['', seqBytes(2)])).toHaveLength(2)
  expect(await replay(engine, ['', seqBytes(1_000_000)])).toHaveLength(1)
})

test('a request without its delimiter is ignored, as recorded, and the next one is served', async () => {
  const engine = await start()
  await store(engine, 0)
  const socket = new Dealer({ linger: 0, receiveTimeout: 10_000 })
  socket.connect(engine.replayEndpoint)
  started.push({ stop: () => socket.close() })
  await socket.send([seqBytes(0)])
  await socket.send(['', seqBytes(5)])
  // The only answer is the end mark of the second request.
  expect((await socket.receive()).map((frame) => frame.toString('hex'))).toEqual([
    '',
    '',
    'ffffffffffffffff',
    '',
  ])
})

test('dropped batches are a gap in the live stream and can be replayed', async () => {
  const engine = await start()
  const { messages } = await subscribe(engine)
  engine.faults.dropEvents = () => true
  await store(engine, 1)
  engine.faults.dropEvents = () => false
  const before = messages.length
  await store(engine, 2)
  await until('the batch after the gap', () => messages.length > before)
  const seqs = messages.map((frames) => Number(frames[1]!.readBigUInt64BE()))
  const missing = seqs.at(-1)! - 1
  expect(seqs).not.toContain(missing)
  const [first] = await replay(engine, ['', seqBytes(missing)])
  expect(Number(first!.at(-2)!.readBigUInt64BE())).toBe(missing)
})

test('a reset is told with the next batch, not by an idle engine; a new life counts from 0', async () => {
  const engine = await start()
  await store(engine, 0)
  await fetch(`${engine.url}/reset_prefix_cache`, { method: 'POST' })
  expect(await replay(engine, ['', seqBytes(0)])).toHaveLength(2)
  await store(engine, 0)
  const replies = await replay(engine, ['', seqBytes(1)])
  const [, events] = decode(replies[0]!.at(-1)!, { useBigInt64: true }) as [number, { type: string }[]]
  expect(events.map(({ type }) => type)).toEqual(['AllBlocksCleared', 'BlockStored'])
  engine.kill()
  const again = await start({ replayPort: Number(engine.replayEndpoint.split(':').at(-1)) })
  await store(again, 0)
  const [first] = await replay(again, ['', seqBytes(0)])
  expect(Number(first!.at(-2)!.readBigUInt64BE())).toBe(0)
})

test('a port that another process holds is named', async () => {
  const engine = await start()
  const eventsPort = Number(engine.eventsEndpoint.split(':').at(-1))
  await expect(startEngine({ name: 'b', eventsPort })).rejects.toThrow(
    `127.0.0.1:${eventsPort}: the port is in use`,
  )
  const port = Number(new URL(engine.url).port)
  await expect(startEngine({ name: 'b', port })).rejects.toThrow(`127.0.0.1:${port}: the port is in use`)
})
