/**
 * `isotherm events`: what an engine says of its KV cache, live or from a recording, one JSON line an event, and what is
 * resident by it in the end. Token ids are the prompt: they are printed only when asked for.
 */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { BlockIndex } from '../cluster-agent/blocks/block-index.ts'
import { EventFeed, type FeedOptions } from '../cluster-agent/event-feed.ts'
import { EventSubscriber } from '../cluster-agent/event-subscriber.ts'
import { readEvent, type EventBatch } from '../cluster-agent/events/event-batch.ts'
import type { KvEvent } from '../cluster-agent/events/kv-event.ts'
import { TIERS } from '../core/tiers.ts'

export interface EventsOptions {
  readonly endpoint?: string
  readonly replay?: string
  readonly file?: string
  readonly summary?: boolean
  readonly tokens?: boolean
  readonly seconds?: number
}

export class EventsFailure extends Error {
  override readonly name = 'EventsFailure'
}

/** What stdout has not taken yet. Beyond it lines are left out and counted. */
const UNWRITTEN_BYTES_MAX = 64 * 1024 * 1024
const LINE_BYTES_MAX = 64 * 1024 * 1024

export async function events(options: EventsOptions): Promise<void> {
  if ((options.endpoint === undefined) === (options.file === undefined))
    throw new EventsFailure('one of --endpoint and --file is needed')
  for (const [name, address] of Object.entries({ endpoint: options.endpoint, replay: options.replay }))
    if (address !== undefined && !/^(tcp|ipc):\/\/./.test(address))
      throw new EventsFailure(`--${name}: ${address} is no ZMQ address such as tcp://127.0.0.1:5557`)
  const printer = new EventPrinter(options.tokens ?? false)
  // A reader that leaves (`head`) ends the command.
  process.stdout.on('error', () => process.exit(0))
  const feed =
    options.file === undefined
      ? await follow(options.endpoint ?? '', options.replay, options.seconds, printer)
      : await readFile(options.file, printer)
  if (options.summary) printer.print({ summary: { ...printer.summary(), stream: feed.counts } })
  await feed.stop()
}

async function readFile(path: string, printer: EventPrinter): Promise<EventFeed> {
  const feed = new EventFeed(printer.options(path, undefined))
  let number = 0
  try {
    for await (const line of createInterface({ input: createReadStream(path) })) {
      number++
      if (line.trim() === '') continue
      const frames = framesOf(line)
      if (frames) feed.receive(frames)
      else process.stderr.write(`isotherm: ${path}:${number}: no line of {"frames": [hex, hex, hex]}\n`)
    }
  } catch (error) {
    throw new EventsFailure(`${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
  return feed
}

/** Until the time is over or somebody interrupts. */
async function follow(
  endpoint: string,
  replay: string | undefined,
  seconds: number | undefined,
  printer: EventPrinter,
): Promise<EventFeed> {
  const feed = new EventSubscriber({ ...printer.options(endpoint, replay), events: endpoint })
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  try {
    feed.start()
  } catch (error) {
    throw new EventsFailure(`${endpoint}: ${error instanceof Error ? error.message : String(error)}`)
  }
  const ms = seconds === undefined ? 2 ** 31 - 1 : seconds * 1000
  await sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined)
  return feed
}

class EventPrinter {
  readonly #index = new BlockIndex('', 1)
  readonly #hasTokens: boolean
  #events = 0
  #skipped = 0
  #unprinted = 0

  constructor(hasTokens: boolean) {
    this.#hasTokens = hasTokens
  }

  options(name: string, replay: string | undefined): FeedOptions {
    return {
      name,
      replay,
      onBatch: (batch, seq) => this.#take(batch, seq),
      onFence: (reason) => {
        this.#index.fence(0)
        this.print({ forgotten: reason })
      },
      log: pino({ level: 'silent' }),
    }
  }

  print(value: unknown): void {
    if (process.stdout.writableLength > UNWRITTEN_BYTES_MAX) this.#unprinted++
    else process.stdout.write(`${JSON.stringify(value)}\n`)
  }

  summary(): Record<string, unknown> {
    const { orphans, ignored, refused, bytes } = this.#index.counts
    const resident = TIERS.map(({ name, number }) => [name, this.#index.residentHashes(0, number).length])
    return {
      events: this.#events,
      skipped: this.#skipped,
      unprinted: this.#unprinted,
      blockTokens: this.#index.blockTokens,
      blocks: this.#index.table.size,
      resident: Object.fromEntries(resident) as unknown,
      orphans,
      ignored,
      refused,
      bytes,
    }
  }

  #take(batch: EventBatch, seq: number | null): void {
    for (let i = 0; i < batch.count; i++)
      this.print({ seq, rank: batch.rank, ...describe(readEvent(batch.event(i)), this.#hasTokens) })
    if (batch.skipped > 0) this.print({ seq, rank: batch.rank, skipped: batch.skipped })
    this.#events += batch.count
    this.#skipped += batch.skipped
    this.#index.applyBatch(0, batch)
  }
}

function describe(event: KvEvent, hasTokens: boolean): Record<string, unknown> {
  if (event.kind === 'cleared') return { kind: event.kind }
  const { kind, medium, group } = event
  const hashes = event.hashes.map(hex)
  if (event.kind === 'removed') return { kind, hashes, medium, group }
  const { parent, tokens, blockTokens, lora, extraKeys, salt, groupKind, windowTokens } = event
  return {
    kind,
    hashes,
    parent: parent === null ? null : hex(parent),
    tokens: hasTokens ? tokens : tokens.length,
    blockTokens,
    lora,
    medium,
    group,
    groupKind,
    windowTokens,
    ...(hasTokens ? { salt, extraKeys: JSON.parse(JSON.stringify(extraKeys, plain)) as unknown } : {}),
  }
}

function hex(hash: bigint): string {
  return hash.toString(16).padStart(16, '0')
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
}

/** null for a line that is none of a recording. */
function framesOf(line: string): Uint8Array[] | null {
  if (line.length > LINE_BYTES_MAX) return null
  try {
    const { frames } = JSON.parse(line) as { frames?: unknown }
    if (!Array.isArray(frames) || !frames.every((frame) => typeof frame === 'string')) return null
    return frames.map((frame) => Uint8Array.from(Buffer.from(frame, 'hex')))
  } catch {
    return null
  }
}
