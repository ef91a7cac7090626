import fc from 'fast-check'
import { expect, test } from 'vitest'
import { prefillMs } from '../../../core/cost-model.ts'
import { DEFAULT_PROFILE } from '../../../simulator/engine/profile.ts'
import type { KvEvent } from '../../../simulator/engine/kv-event.ts'
import { core, drive, range, request } from '../drive.ts'

const LAW = DEFAULT_PROFILE.prefill

test('a prompt takes what the prefill law says, whole or in chunks', () => {
  for (const tokens of [100, 4096, 20_000, 100_000]) {
    const engine = core({})
    engine.submit(request(range(0, tokens)), 0)
    const run = drive(engine)
    expect(run.durationsMs).toHaveLength(Math.ceil(tokens / 4096))
    expect(run.endMs).toBeCloseTo(prefillMs(LAW, tokens, 0), 6)
  }
})

test('a warm prompt takes what the law says of its rest', () => {
  const engine = core({})
  engine.submit(request(range(0, 16_000)), 0)
  drive(engine)
  engine.submit(request([...range(0, 16_000), ...range(50_000, 1000)]), 0)
  const run = drive(engine)
  expect(run.finished[0]!.cachedTokens).toBe(16_000)
  expect(run.endMs).toBeCloseTo(prefillMs(LAW, 1000, 16_000), 6)
})

test('a decode step takes a base, a share of each sequence and a share of the context', () => {
  const engine = core({})
  for (let i = 0; i < 3; i++) engine.submit(request(range(i * 1000, 200), { maxTokens: 2 }), 0)
  const [, decodeMs] = drive(engine).durationsMs
  const { stepMs, msPerSequence, msPerContextToken } = DEFAULT_PROFILE.decode
  expect(decodeMs).toBeCloseTo(stepMs + 3 * msPerSequence + 3 * 201 * msPerContextToken, 9)
})

test('speed divides every duration', () => {
  const ends = [1, 4].map((speed) => {
    const engine = core({}, speed)
    engine.submit(request(range(0, 5000), { maxTokens: 10 }), 0)
    return drive(engine).endMs
  })
  expect(ends[0]! / ends[1]!).toBeCloseTo(4, 9)
})

test('a long prompt is cut into chunks beside which others go on decoding', () => {
  const engine = core({})
  engine.submit(request(range(0, 100), { maxTokens: 50 }), 0)
  const order: string[] = []
  const long = request(range(1000, 20_000))
  drive(engine, 0, {
    onStep: (step) => {
      if (step === 3) engine.submit(long, 0)
    },
    onOutput: (sequence) => order.push(sequence.request.id === long.id ? 'long' : 'short'),
  })
  // Five chunks: the short one speaks in each of those steps.
  expect(order.indexOf('long')).toBeGreaterThanOrEqual(4 + 4)
  expect(order.filter((who) => who === 'short')).toHaveLength(50)
})

test('requests are admitted in their order, and wait for space', () => {
  const engine = core()
  const requests = [96 * 2, 96 * 2, 32].map((tokens, i) => request(range(i * 1000, tokens)))
  for (const item of requests) engine.submit(item, 0)
  expect(engine.startStep(0)).not.toBeNull()
  // 6 of 12 blocks are taken; the second needs 6 and one to spare, and the third stays behind it.
  expect([engine.runningRequests, engine.waitingRequests]).toEqual([1, 2])
  expect(engine.finishStep(1).outputs.map(({ request: { id } }) => id)).toEqual([requests[0]!.id])
  const run = drive(engine, 1)
  expect(run.finished.map(({ request: { id } }) => id)).toEqual(requests.slice(1).map(({ id }) => id))
})

test('out of blocks, the newest goes back and says the same words in the end', () => {
  const alone = core()
  alone.submit(request(range(500, 150), { maxTokens: 100, seed: 99 }), 0)
  const expected = Array.from(drive(alone).finished[0]!.tokens.slice(0, 250))

  const engine = core()
  engine.submit(request(range(0, 150), { maxTokens: 100, seed: 1 }), 0)
  engine.submit(request(range(500, 150), { maxTokens: 100, seed: 99 }), 0)
  const run = drive(engine)
  expect(engine.counters.preemptions).toBeGreaterThan(0)
  const second = run.finished.find(({ request: { seed } }) => seed === 99)!
  expect(second.preemptions).toBeGreaterThan(0)
  expect(Array.from(second.tokens.slice(0, 250))).toEqual(expected)
  expect(engine.space.pool.free).toBe(12)
})

test('a cancelled request frees its blocks at once, in prefill too, and leaves the cache', () => {
  const engine = core({})
  const item = request(range(0, 50_000))
  engine.submit(item, 0)
  engine.startStep(0)
  expect(engine.kvUsage).toBeGreaterThan(0)
  expect(engine.cancel(item.id)).toBe(true)
  expect(engine.kvUsage).toBe(0)
  expect(engine.finishStep(100).outputs).toEqual([])
  expect(engine.startStep(100)).toBeNull()
  expect(engine.counters.finished.abort).toBe(1)
  engine.submit(request(range(0, 5000)), 200)
  expect(drive(engine, 200).finished[0]!.cachedTokens).toBe(4096)
})

test('answers stop by themselves between 20 and 200 tokens, unless told otherwise', () => {
  const lengths = range(0, 50).map((seed) => {
    const engine = core({})
    engine.submit(request(range(0, 10), { maxTokens: 1000, ignoreEos: false, seed }), 0)
    const [sequence] = drive(engine).finished
    expect(sequence!.finish).toBe('stop')
    return sequence!.outputTokens
  })
  expect(Math.min(...lengths)).toBeGreaterThanOrEqual(20)
  expect(Math.max(...lengths)).toBeLessThanOrEqual(200)
  expect(new Set(lengths).size).toBeGreaterThan(20)
  const engine = core({})
  engine.submit(request(range(0, 10), { maxTokens: 1000, ignoreEos: false, minTokens: 300 }), 0)
  expect(drive(engine).finished[0]!.outputTokens).toBe(301)
})

/** Twelve GPU blocks of 32 tokens with DRAM behind them, as many times as large as asked. */
function tiered(cpuBlocks: number) {
  return { blockTokens: 32, kvTokens: 12 * 32, contextTokensMax: 256, cpuKvTokens: cpuBlocks * 32 }
}

test('what the GPU evicted comes back from DRAM, in the time its bytes take', () => {
  const engine = core(tiered(100))
  const prompt = range(0, 97)
  engine.submit(request(prompt), 0)
  const [first] = drive(engine).batches
  expect(first!.map(({ kind }) => kind)).toEqual(['stored', 'offloaded', 'offloaded', 'offloaded'])
  for (let i = 1; i < 6; i++) {
    engine.submit(request(range(i * 1000, 97)), 0)
    drive(engine)
  }
  engine.submit(request(prompt), 0)
  const run = drive(engine)
  const sequence = run.finished[0]!
  expect([sequence.cachedTokens, sequence.loadedTokens]).toEqual([96, 96])
  const { cpuBytesPerMs, kvBytesPerToken, decode } = DEFAULT_PROFILE
  const loadMs = (96 * kvBytesPerToken) / cpuBytesPerMs
  const lastTokenMs = decode.stepMs + decode.msPerSequence + 97 * decode.msPerContextToken
  expect(run.endMs).toBeCloseTo(loadMs + lastTokenMs, 9)
  const stored = run.batches.flat().filter(({ kind }) => kind === 'stored')
  expect(stored).toHaveLength(1)
})

test('DRAM lets go of the least recently used, and says so', () => {
  const engine = core(tiered(4))
  for (const from of [0, 1000, 0, 2000]) {
    engine.submit(request(range(from, 65)), 0)
    drive(engine)
  }
  const before = engine.space.lower.residentHashes()
  engine.submit(request(range(3000, 65)), 0)
  const removed = drive(engine)
    .batches.flat()
    .flatMap((event) => (event.kind === 'removed' && event.medium === 'CPU' ? [event.hash] : []))
  expect(removed).toEqual(before.slice(0, 2))
  expect(engine.space.lower.residentHashes()).toHaveLength(4)
})

test('a hand-off pins the blocks of the prefill leg until the puller is done, and for one pull', () => {
  const prefill = core()
  const item = request(range(0, 70), { isProducer: true, seed: 5 })
  prefill.submit(item, 0)
  const run = drive(prefill)
  const blocks = run.finished[0]!.blocks
  expect(blocks).toHaveLength(3)
  expect(prefill.space.pool.free).toBe(9)
  expect(prefill.space.reset()).toBe(false)
  expect(prefill.leases.pull(item.id, blocks, 5, run.endMs)).toBe('intact')
  expect(prefill.leases.pull(item.id, blocks, 5, run.endMs)).toBe('garbage')
  prefill.endLease(item.id)
  expect(prefill.space.pool.free).toBe(12)
  expect(prefill.leases.pull(item.id, blocks, 5, run.endMs)).toBe('garbage')
})

test('a lease ends by itself, and what comes too late finds nothing', () => {
  const prefill = core()
  const item = request(range(0, 70), { isProducer: true, seed: 5 })
  prefill.submit(item, 0)
  const { endMs, finished } = drive(prefill)
  const wakeMs = prefill.wakeMs()!
  expect(wakeMs).toBe(endMs + 30_000)
  expect(prefill.startStep(wakeMs)).toBeNull()
  expect(prefill.space.pool.free).toBe(12)
  expect(prefill.leases.pull(item.id, finished[0]!.blocks, 5, wakeMs)).toBe('gone')
})

test('a pull for another prompt, or of unknown blocks, reads garbage; an unknown id still reads its blocks', () => {
  const prefill = core()
  const item = request(range(0, 70), { isProducer: true, seed: 5 })
  prefill.submit(item, 0)
  const blocks = drive(prefill).finished[0]!.blocks
  expect(prefill.leases.pull(item.id, blocks, 6, 0)).toBe('garbage')
  expect(prefill.leases.pull('x', [9, 10, 11], 5, 0)).toBe('garbage')
  expect(prefill.leases.pull('x', blocks, 5, 0)).toBe('intact')
  expect(prefill.leases.pull(item.id, blocks, 5, 0)).toBe('intact')
})

test('a decode leg is admitted when its KV is here, stores the blocks, and reports what prefill had cached', () => {
  const decode = core({})
  decode.submit(request(range(0, 1000), { remote: { cachedTokens: 320 }, maxTokens: 2 }), 0)
  expect(decode.startStep(0)).toBeNull()
  const { transfer, kvBytesPerToken } = DEFAULT_PROFILE
  expect(decode.wakeMs()).toBeCloseTo(transfer.floorMs + (1000 * kvBytesPerToken) / transfer.bytesPerMs, 9)
  const run = drive(decode)
  const [sequence] = run.finished
  expect(sequence!.cachedTokens).toBe(320)
  expect(sequence!.outputTokens).toBe(2)
  const stored = run.batches[0]!.filter((event) => event.kind === 'stored')
  expect(stored[0]!.hashes).toHaveLength(Math.floor(1000 / 16))
  expect(decode.counters.remoteTokens).toBe(1000)
})

/** What a router that counts copies would think lies on the GPU. */
function applyEvents(copies: Map<bigint, number>, events: readonly KvEvent[]): void {
  for (const event of events) {
    if (event.kind === 'cleared') copies.clear()
    if (event.kind === 'stored')
      for (const hash of event.hashes) copies.set(hash, (copies.get(hash) ?? 0) + 1)
    if (event.kind === 'removed' && event.medium === 'GPU')
      copies.set(event.hash, (copies.get(event.hash) ?? 0) - 1)
  }
}

const arrival = fc.record({
  family: fc.nat(3),
  tokens: fc.integer({ min: 1, max: 250 }),
  maxTokens: fc.integer({ min: 1, max: 40 }),
  kind: fc.constantFrom('local', 'local', 'local', 'producer', 'consumer'),
  atStep: fc.nat(60),
  cancelStep: fc.option(fc.nat(80)),
})

test('any load comes to rest with all blocks free and events that tell the residency', () => {
  fc.assert(
    fc.property(
      fc.array(arrival, { maxLength: 25, size: 'max' }),
      fc.constantFrom(0, 6, 40),
      (arrivals, cpuBlocks) => {
        const engine = core(tiered(cpuBlocks))
        const copies = new Map<bigint, number>()
        const pending = arrivals.map(({ family, tokens, maxTokens, kind, atStep, cancelStep }) => ({
          atStep,
          cancelStep,
          item: request(range(family * 10_000, tokens), {
            maxTokens: kind === 'producer' ? 1 : maxTokens,
            isProducer: kind === 'producer',
            remote: kind === 'consumer' ? { cachedTokens: 0 } : null,
          }),
        }))
        let nowMs = 0
        let finished = 0
        let cancelled = 0
        for (let step = 0; step < 5000; step++) {
          for (const { item, atStep } of pending) if (atStep === step) engine.submit(item, nowMs)
          const started = engine.startStep(nowMs)
          for (const { item, cancelStep } of pending)
            if (cancelStep === step && engine.cancel(item.id)) cancelled++
          if (started === null) {
            nowMs = Math.max(engine.wakeMs() ?? nowMs + 1, nowMs)
            if (step > 100 && engine.waitingRequests === 0 && engine.leases.size === 0) break
            continue
          }
          nowMs += started.durationMs
          const { outputs, events } = engine.finishStep(nowMs)
          finished += outputs.filter(({ finish }) => finish !== null).length
          applyEvents(copies, events)
        }
        expect(finished + cancelled).toBe(arrivals.length)
        expect([engine.runningRequests, engine.waitingRequests]).toEqual([0, 0])
        expect(engine.space.pool.free).toBe(12)
        // Evictions for a load that was cancelled before any further step are told with the next one.
        engine.submit(request(range(90_000, 2)), nowMs)
        for (const events of drive(engine, nowMs).batches) applyEvents(copies, events)
        const told = [...copies].flatMap(([hash, count]) => Array.from({ length: count }, () => hash))
        expect(told.toSorted()).toEqual(engine.space.pool.residentHashes().toSorted())
      },
    ),
    { numRuns: 300 },
  )
})
