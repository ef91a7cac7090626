/**
 * The agent's event decoder and block index, beside the general decoder and a plain Map: how fast events are applied (by
 * the thread's CPU time), how long a match takes warm and with cold caches (by the clock), what a resident block takes.
 * Sides take turns; the same side twice (A/A) shows what the machine adds.
 */
import { writeFile } from 'node:fs/promises'
import { BlockIndex } from '../cluster-agent/blocks/block-index.ts'
import { BatchDecoder } from '../cluster-agent/events/batch-decoder.ts'
import { decodeBatch } from '../cluster-agent/events/decode-batch.ts'
import { PrefixLedger } from '../cluster-agent/ledger/prefix-ledger.ts'
import { FRAME_BLOCKS, frames, type EventFrames } from './event-frames.ts'
import { describeMachine } from './machine.ts'

const ENDPOINTS = 64
/** Of 64 blocks each: the caches hold the small set and not the large one. */
const SMALL_FRAMES = 128
const LARGE_FRAMES = 16_384
const CHAIN_BLOCKS = 6250
const ROUNDS = 7
const FLUSH_WORDS = 16 * 1024 * 1024

type Side = { readonly name: string; readonly run: () => number }

export async function benchAgentIndex(options: { readonly json?: string | true }): Promise<void> {
  const small = frames(SMALL_FRAMES, 1)
  const large = frames(LARGE_FRAMES, 2)
  const rows = [
    ...measure(decoding(small)),
    ...measure(applying(small, 'small')),
    ...measure(applying(large, 'large')),
  ]
  const matches = [false, true].flatMap((isAged) => matching(isAged))
  const memory = residentBytes(large)
  const result = {
    machine: describeMachine(),
    endpoints: ENDPOINTS,
    frameBlocks: FRAME_BLOCKS,
    rows,
    matches,
    memory,
  }
  if (options.json === true) {
    console.log(JSON.stringify(result, null, 2))
    return
  }
  console.table(rows)
  console.table(matches)
  console.table([memory])
  if (options.json) await writeFile(options.json, `${JSON.stringify(result, null, 2)}\n`)
}

/** Million blocks a second of each side, median and range of rounds that take turns, and the ratio to the first. */
function measure(sides: readonly Side[]): Record<string, string | number>[] {
  const samples = sides.map((): number[] => [])
  for (let round = -1; round < ROUNDS; round++)
    for (const [index, { run }] of sides.entries()) {
      const rate = run()
      if (round >= 0) samples[index]?.push(rate)
    }
  return sides.map(({ name }, index) => {
    const sorted = (samples[index] ?? []).toSorted((a, b) => a - b)
    const ratios = (samples[index] ?? [])
      .map((rate, i) => rate / (samples[0]?.[i] ?? rate))
      .toSorted((a, b) => a - b)
    return {
      what: name,
      'M blocks/s': round3(sorted[ROUNDS >> 1]),
      range: `${round3(sorted[0])}-${round3(sorted.at(-1))}`,
      'ratio to the first': round3(ratios[ROUNDS >> 1]),
    }
  })
}

function decoding({ stores }: EventFrames): Side[] {
  const decoder = new BatchDecoder()
  const quick = () => rateOf(stores.length, 4, () => stores.forEach((frame) => decoder.decode(frame)))
  return [
    {
      name: 'decode, @msgpack/msgpack',
      run: () => rateOf(stores.length, 4, () => stores.forEach((frame) => decodeBatch(frame))),
    },
    { name: 'decode, by hand', run: quick },
    { name: 'decode, by hand (A/A)', run: quick },
  ]
}

/** Stores and evictions by turns on an index that holds the other half, as engines that are full do. */
function applying({ stores, removals }: EventFrames, size: string): Side[] {
  const decoder = new BatchDecoder()
  const index: BlockIndex = new BlockIndex('m', ENDPOINTS, (block, endpoint) =>
    ledger.noteBlock(block, endpoint),
  )
  const ledger = new PrefixLedger(index, ENDPOINTS)
  const half = stores.length / 2
  for (let i = 0; i < half; i++) index.applyBatch(i % ENDPOINTS, decoder.decode(stores[i]!)!)
  // Each batch keeps a decoder of its own, so that what it decoded stays.
  const keep = (frame: Uint8Array) => new BatchDecoder().decode(frame)!
  const window = Math.min(half, 1024)
  const decoded = Array.from({ length: window }, (_, i) => keep(stores[half + i]!))
  const gone = Array.from({ length: window }, (_, i) => keep(removals[half + i]!))
  const storeDecoded = () => decoded.forEach((batch, i) => index.applyBatch((half + i) % ENDPOINTS, batch))
  const removeDecoded = () => gone.forEach((batch, i) => index.applyBatch((half + i) % ENDPOINTS, batch))
  const storeFrames = () => {
    for (let i = 0; i < window; i++)
      index.applyBatch((half + i) % ENDPOINTS, decoder.decode(stores[half + i]!)!)
  }
  const removeFrames = () => {
    for (let i = 0; i < window; i++)
      index.applyBatch((half + i) % ENDPOINTS, decoder.decode(removals[half + i]!)!)
  }
  // The clock of a thread's CPU may tick every 4 ms only.
  const times = size === 'small' ? 64 : 8
  const both = (store: () => void, remove: () => void) => () => {
    let ms = 0
    for (let i = 0; i < times; i++) {
      ms += timed(store)
      remove()
    }
    return (window * FRAME_BLOCKS * times) / ms / 1000
  }
  const evict = () => {
    let ms = 0
    for (let i = 0; i < times; i++) {
      storeDecoded()
      ms += timed(removeFrames)
    }
    return (window * FRAME_BLOCKS * times) / ms / 1000
  }
  const label = `${size} set (${half * FRAME_BLOCKS} blocks)`
  const plain = plainIndex(stores, half, window)
  return [
    { name: `${label}: frames into a Map of Maps`, run: plain },
    { name: `${label}: decoded events applied`, run: both(storeDecoded, removeDecoded) },
    { name: `${label}: frames decoded and applied`, run: both(storeFrames, removeFrames) },
    { name: `${label}: frames decoded and applied (A/A)`, run: both(storeFrames, removeFrames) },
    { name: `${label}: frames of evictions, one hash each`, run: evict },
  ]
}

/** What one would write first: tokens as text for a key, a Map of hashes for each endpoint. No removal, no matching. */
function plainIndex(stores: readonly Uint8Array[], half: number, window: number): () => number {
  return () => {
    const byHash = Array.from({ length: ENDPOINTS }, () => new Map<bigint, string>())
    const where = new Map<string, Set<number>>()
    const ms = timed(() => {
      for (let i = 0; i < window; i++) {
        for (const event of decodeBatch(stores[half + i]!)?.events ?? []) {
          if (event.kind !== 'stored') continue
          let key = ''
          for (const [at, hash] of event.hashes.entries()) {
            key = `${key.slice(-16)}${event.tokens.slice(at * event.blockTokens, (at + 1) * event.blockTokens).join()}`
            byHash[i % ENDPOINTS]?.set(hash, key)
            const at64 = where.get(key)
            if (at64) at64.add(i % ENDPOINTS)
            else where.set(key, new Set([i % ENDPOINTS]))
          }
        }
      }
    })
    return (window * FRAME_BLOCKS) / ms / 1000
  }
}

/** A chain of 100,000 tokens of which each endpoint holds another share. Aged: its blocks lie all over a large index. */
function matching(isAged: boolean): Record<string, string | number>[] {
  let tip = -1
  const index = new BlockIndex('m', ENDPOINTS, (block) => (tip = block))
  const decoder = new BatchDecoder()
  const noise = frames(isAged ? 8192 : 0, 3)
  const chain = frames(Math.ceil(CHAIN_BLOCKS / FRAME_BLOCKS), 4, true)
  for (const [i, frame] of noise.stores.entries()) index.applyBatch(i % ENDPOINTS, decoder.decode(frame)!)
  // Evicted here and there: what is stored next fills the holes.
  for (let i = 0; i < noise.removals.length; i += 3) {
    const batch = decoder.decode(noise.removals[(i * 7919) % noise.removals.length]!)!
    index.applyBatch(((i * 7919) % noise.removals.length) % ENDPOINTS, batch)
  }
  for (let endpoint = 0; endpoint < ENDPOINTS; endpoint++)
    for (const [i, frame] of chain.stores.entries())
      if (i <= (chain.stores.length * (endpoint + 1)) / ENDPOINTS)
        index.applyBatch(endpoint, decoder.decode(frame)!)
  // The last endpoint holds all of it.
  const blocks = index.table.chain(tip)
  const flush = new Uint32Array(FLUSH_WORDS)
  const match = (isWhole: boolean) => {
    // A copy of the chain each time: the index keeps the match of the last one.
    const walked = isWhole ? index.table.chain(tip) : blocks.slice()
    return wallMs(() => {
      const asked = isWhole ? index.table.chain(tip) : walked
      for (let endpoint = 0; endpoint < ENDPOINTS; endpoint++) index.match(asked, endpoint)
    })
  }
  const median = (isWhole: boolean, isCold: boolean) => {
    const samples: number[] = []
    for (let i = 0; i < (isCold ? 15 : 200); i++) {
      if (isCold) for (let at = 0; at < flush.length; at += 16) flush[at] = i
      samples.push(match(isWhole) * 1000)
    }
    return round3(samples.toSorted((a, b) => a - b)[samples.length >> 1])
  }
  median(true, false)
  return [false, true].map((isWhole) => ({
    what: `${isWhole ? 'walk and match' : 'match'} of ${blocks.length} blocks over ${ENDPOINTS} endpoints, ${isAged ? 'aged' : 'fresh'} index`,
    'warm us': median(isWhole, false),
    'warm us (A/A)': median(isWhole, false),
    'cold us': median(isWhole, true),
    'cold us (A/A)': median(isWhole, true),
  }))
}

function residentBytes({ stores }: EventFrames): Record<string, number> {
  const decoder = new BatchDecoder()
  const index = new BlockIndex('m', ENDPOINTS)
  for (const [i, frame] of stores.entries()) index.applyBatch(i % ENDPOINTS, decoder.decode(frame)!)
  const blocks = index.table.size
  return {
    'resident blocks': blocks,
    // Typed arrays double when they are full: what they have in reserve is not touched and takes no memory.
    'bytes a block, every map': round3(index.counts.bytes / blocks),
  }
}

function rateOf(frameCount: number, times: number, run: () => void): number {
  const ms = timed(() => {
    for (let i = 0; i < times; i++) run()
  })
  return (frameCount * FRAME_BLOCKS * times) / ms / 1000
}

/** Milliseconds of this thread's CPU: what other processes take does not count, what they do to the caches does. */
function timed(run: () => void): number {
  const start = process.threadCpuUsage()
  run()
  const { user, system } = process.threadCpuUsage(start)
  return (user + system) / 1000
}

function wallMs(run: () => void): number {
  const startMs = performance.now()
  run()
  return performance.now() - startMs
}

function round3(value: number | undefined): number {
  return Number((value ?? 0).toPrecision(3))
}
