import { encode } from '@msgpack/msgpack'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { Publisher, Router } from 'zeromq'
import { BlockIndex } from '../../cluster-agent/blocks/block-index.ts'
import { findEventAddresses } from '../../cluster-agent/event-addresses.ts'
import { EventFeed } from '../../cluster-agent/event-feed.ts'
import { EventListener } from '../../cluster-agent/event-listener.ts'
import { EventSubscriber } from '../../cluster-agent/event-subscriber.ts'
import { ENGINE_VERSIONS } from '../../simulator/wire/engine-version.ts'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import { replayEndFrames, seqFrame } from '../../simulator/wire/kv-frames.ts'
import { until } from '../support/wait.ts'

/** Feeds over real sockets, from simulated engines and from publishers that behave worse. */
const log = pino({ level: 'silent' })
const closing: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

function indexed(): { index: BlockIndex; options: ConstructorParameters<typeof EventFeed>[0] } {
  const index = new BlockIndex('m', 1)
  const options = {
    name: 'test',
    replay: undefined,
    onBatch: (batch: Parameters<BlockIndex['applyBatch']>[1]) => index.applyBatch(0, batch),
    onFence: () => index.fence(0),
    log,
  }
  return { index, options }
}

async function open(version?: (typeof ENGINE_VERSIONS)[number]): Promise<RunningEngine> {
  const engine = await startEngine({ name: 'test', model: 'm', speed: 20, ...(version ? { version } : {}) })
  closing.push(() => engine.stop())
  return engine
}

function follow(engine: RunningEngine, hasReplay = true): { index: BlockIndex; feed: EventSubscriber } {
  const { index, options } = indexed()
  const replay = hasReplay ? engine.replayEndpoint : undefined
  const feed = new EventSubscriber({ ...options, replay, events: engine.eventsEndpoint })
  closing.push(() => feed.stop())
  feed.start()
  return { index, feed }
}

async function ask(engine: RunningEngine, text: string): Promise<void> {
  const response = await fetch(`${engine.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', prompt: text.repeat(100), max_tokens: 1 }),
  })
  await response.text()
}
const resident = (index: BlockIndex) => index.residentHashes(0, 1).length

/** A message that stores one block, whose hash is its number. */
function stored(seq: number): [Uint8Array, Uint8Array, Uint8Array] {
  const event = {
    type: 'BlockStored',
    block_hashes: [seq],
    parent_block_hash: null,
    token_ids: [seq],
    block_size: 1,
  }
  return [new Uint8Array(), seqFrame(seq), encode([1.5, [event], 0])]
}

test.each(ENGINE_VERSIONS)(
  'an engine of %s that worked before we came is known by its replay',
  async (version) => {
    const engine = await open(version)
    await ask(engine, 'before ')
    const { index, feed } = follow(engine)
    await until('history to be read', () => feed.state === 'live' && resident(index) > 0)
    const before = resident(index)
    await ask(engine, 'after ')
    await until('what is new to be heard', () => resident(index) > before)
    expect(feed.counts).toMatchObject({ malformed: 0, unusual: 0, fences: 0 })
  },
)

test('an engine whose replay never answers is heard all the same', async () => {
  const engine = await open()
  const mute = new Router({ linger: 0 })
  await mute.bind('tcp://127.0.0.1:*')
  closing.push(() => mute.close())
  const { index, options } = indexed()
  const feed = new EventSubscriber({
    ...options,
    replay: mute.lastEndpoint!,
    events: engine.eventsEndpoint,
  })
  closing.push(() => feed.stop())
  feed.start()
  await mute.receive()
  await ask(engine, 'said ')
  await until('it to be heard', () => resident(index) > 0)
  expect([feed.state, feed.mayMissEvents]).toEqual(['syncing', true])
})

test('what waits behind a gap is applied when no reply comes, and what was lost counts for a while', async () => {
  const now = performance.now.bind(performance)
  let laterMs = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now() + laterMs)
  closing.push(() => void vi.restoreAllMocks())
  const router = new Router({ linger: 0 })
  await router.bind('tcp://127.0.0.1:*')
  closing.push(() => router.close())
  const { index, options } = indexed()
  const feed = new EventFeed({ ...options, replay: router.lastEndpoint! })
  closing.push(() => feed.stop())
  feed.start()
  feed.connected()
  const [asker] = await router.receive()
  await router.send([asker!, ...replayEndFrames(ENGINE_VERSIONS[0])])
  await until('the stream to be live', () => feed.state === 'live')
  feed.receive(stored(0))
  feed.receive(stored(2))
  expect([feed.state, feed.mayMissEvents]).toEqual(['syncing', true])
  expect(index.residentHashes(0, 1)).toEqual([0n])
  laterMs = 1100
  feed.receive(stored(3))
  // What lies before the hole is forgotten, since a removal may be in it.
  expect(index.residentHashes(0, 1)).toEqual([2n, 3n])
  expect([feed.state, feed.mayMissEvents]).toEqual(['live', true])
  laterMs = 700_000
  expect(feed.mayMissEvents).toBe(false)
})

test('the last words of an engine that falls silent are not lost for long', async () => {
  const engine = await open()
  const { index, feed } = follow(engine)
  await until('the stream to be live', () => feed.state === 'live')
  engine.faults.dropEvents = () => true
  await ask(engine, 'lost ')
  expect(resident(index)).toBe(0)
  await until('the engine to be asked', () => resident(index) > 0, 8000)
  expect(feed.counts.gaps).toBe(0)
})

test('an engine that dies and comes back at the same address is known anew', async () => {
  const first = await open()
  const { index, feed } = follow(first)
  await ask(first, 'old ')
  await until('blocks to be known', () => resident(index) > 0)
  const before = index.residentHashes(0, 1)
  const [eventsPort, replayPort] = [first.eventsEndpoint, first.replayEndpoint].map((address) =>
    Number(address.split(':').at(-1)),
  )
  first.kill()
  await until('them to be forgotten', () => resident(index) === 0)
  const second = await startEngine({
    name: 'test',
    model: 'm',
    speed: 20,
    eventsPort: eventsPort!,
    replayPort: replayPort!,
  })
  closing.push(() => second.stop())
  await ask(second, 'new ')
  await until('the new life to be known', () => feed.state === 'live' && resident(index) > 0)
  expect(index.residentHashes(0, 1).filter((hash) => before.includes(hash))).toEqual([])
})

test('word of a reset counts before the engine says so', async () => {
  const engine = await open()
  const { index, feed } = follow(engine)
  await ask(engine, 'text ')
  await until('blocks to be known', () => resident(index) > 0)
  feed.noteReset()
  expect(resident(index)).toBe(0)
  feed.fence('asked to')
  await until('the replay to bring them back', () => resident(index) > 0)
})

test('a restart that others tell of is believed, unless the socket has just said so', async () => {
  const engine = await open()
  const { index, feed } = follow(engine)
  await ask(engine, 'text ')
  await until('blocks to be known', () => resident(index) > 0)
  feed.noteIncarnation('first')
  feed.noteIncarnation('first')
  expect(feed.counts.fences).toBe(0)
  feed.noteIncarnation('second')
  expect(resident(index)).toBe(0)
  expect(feed.counts.fences).toBe(1)
  feed.noteRestart()
  expect(feed.counts.fences).toBe(1)
})

test('a defect in what takes the events does not end the stream', () => {
  const { index, options } = indexed()
  let isBroken = true
  const feed = new EventFeed({
    ...options,
    onBatch: (batch) => {
      index.applyBatch(0, batch)
      if (isBroken) throw new Error('a defect')
    },
  })
  feed.connected()
  feed.receive(stored(0))
  expect(resident(index)).toBe(0)
  isBroken = false
  feed.receive(stored(1))
  expect(index.residentHashes(0, 1)).toEqual([1n])
})

test('garbage in any frame harms nobody', async () => {
  const publisher = new Publisher()
  await publisher.bind('tcp://127.0.0.1:*')
  closing.push(() => publisher.close())
  const { index, options } = indexed()
  const feed = new EventSubscriber({ ...options, events: publisher.lastEndpoint! })
  closing.push(() => feed.stop())
  feed.start()
  const good = (n: number) =>
    encode([
      1.5 + n,
      [{ type: 'BlockStored', block_hashes: [n], parent_block_hash: null, token_ids: [n], block_size: 1 }],
      0,
    ])
  // A subscription takes a moment: what is sent before it arrives nowhere.
  await until('the subscription', async () => {
    await publisher.send(['', seqFrame(0), good(1)])
    return feed.counts.messages > 0
  })
  await publisher.send([''])
  await publisher.send(['', Buffer.alloc(7), good(2)])
  await publisher.send(['', seqFrame(1), good(2), 'more'])
  await publisher.send(['', Buffer.alloc(8, 0xff), good(2)])
  await until('them to be refused', () => feed.counts.malformed === 4)
  await publisher.send(['', seqFrame(feed.counts.messages), good(3)])
  await until('a good one to be taken', () => index.residentHashes(0, 1).includes(3n))
})

test('a publisher that is faster than we are blocks nothing, and memory stays bounded', async () => {
  const publisher = new Publisher({ sendHighWaterMark: 1000, linger: 0 })
  await publisher.bind('tcp://127.0.0.1:*')
  closing.push(() => publisher.close())
  const { options } = indexed()
  const feed = new EventSubscriber({ ...options, events: publisher.lastEndpoint! })
  closing.push(() => feed.stop())
  feed.start()
  const hashes = Array.from({ length: 256 }, (_, i) => i)
  const payload = encode([
    1.5,
    [
      {
        type: 'BlockStored',
        block_hashes: hashes,
        parent_block_hash: null,
        token_ids: hashes,
        block_size: 1,
      },
    ],
    0,
  ])
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  closing.push(() => clearInterval(timer))
  let seq = 0
  const endMs = performance.now() + 1000
  while (performance.now() < endMs)
    for (let i = 0; i < 50; i++) await publisher.send(['', seqFrame(seq++), payload])
  await until('the last to be heard', () => feed.counts.messages > 100)
  // The loop turned while the flood came.
  expect(ticks).toBeGreaterThan(20)
})

test('engines that dial in are told apart by topic and rank', async () => {
  const listener = new EventListener('tcp://127.0.0.1:*', log)
  await listener.start()
  closing.push(() => listener.stop())
  const guests = (['a', 'b', 'c'] as const).map((name, i) => {
    const { index, options } = indexed()
    const feed = new EventFeed({ ...options, ...(i === 0 ? {} : { rank: i - 1 }) })
    feed.start()
    closing.push(() => feed.stop())
    // a has an address of its own; b and c are two ranks behind one.
    const url = i === 0 ? 'http://10.0.0.1:8000' : 'http://10.0.0.2:8000'
    listener.add({ endpoint: name, url, ...(i === 0 ? {} : { rank: i - 1 }), feed })
    return index
  })
  const dial = () => {
    const publisher = new Publisher({ linger: 0 })
    publisher.connect(listener.address)
    closing.push(() => publisher.close())
    return publisher
  }
  const engines = [dial(), dial(), dial()]
  const send = (at: number, seq: number, hash: number) =>
    engines[at]!.send([
      `kv@10.0.0.${at === 0 ? 1 : 2}:8000@model`,
      seqFrame(seq),
      // llm-d's simulator: positional, short, from 1 on.
      encode([1.5 + hash, [['BlockStored', [hash], 0, [hash], 1, null, 'GPU']], at === 2 ? 1 : 0]),
    ])
  for (const [at, index] of guests.entries())
    await until(`engine ${at} to be heard`, async () => {
      await send(at, 1, 10 + at)
      return index.residentHashes(0, 1).length > 0
    })
  expect(guests.map((index) => index.residentHashes(0, 1))).toEqual([[10n], [11n], [12n]])
  await engines[0]!.send(['kv@10.9.9.9:8000@model', seqFrame(0), encode([1.5, [], 0])])
  await until('the stranger to be counted', () => listener.unknown === 1)
  // A number that goes back is another life.
  await send(0, 2, 20)
  await until('the next event', () => guests[0]!.residentHashes(0, 1).length === 2)
  await send(0, 1, 30)
  await until('the new life', () => guests[0]!.residentHashes(0, 1).length === 1)
  expect(guests[0]!.residentHashes(0, 1)).toEqual([30n])
})

test('an engine says itself where it publishes', async () => {
  const engine = await open()
  const found = await findEventAddresses(engine.url, 0, new AbortController().signal)
  expect(found).toEqual({ events: engine.eventsEndpoint, replay: engine.replayEndpoint })
})

test('an engine that never says it is asked until somebody stops', async () => {
  const server: Server = createServer((_, response) => response.writeHead(404).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => void server.close())
  const stopping = new AbortController()
  const asking = findEventAddresses(
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    0,
    stopping.signal,
  )
  stopping.abort()
  expect(await asking).toBeNull()
})
