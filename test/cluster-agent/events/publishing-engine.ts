/** Both ends of an event stream without their wire: an engine that publishes, and the agent's side of it. */
import { encode } from '@msgpack/msgpack'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { BatchDecoder } from '../../../cluster-agent/events/batch-decoder.ts'
import { EventStream } from '../../../cluster-agent/events/event-stream.ts'
import type { EventMessage } from '../../../cluster-agent/events/frames.ts'

const GPU = 1

/** An engine that publishes, keeps its last batches for replay, and loses its cache when it starts anew. */
export class Engine {
  readonly copies = new Map<number, number>()
  seq = 0
  life = 0
  buffer: EventMessage[] = []
  readonly #bufferMax: number
  #clock = 1

  constructor(bufferMax: number) {
    this.#bufferMax = bufferMax
  }

  hash(n: number): bigint {
    return BigInt(this.life * 1000 + n + 1)
  }

  /** Block n stands behind block (n - 1) / 2; parents are stored before and removed after it. */
  step(n: number, isStore: boolean): EventMessage | null {
    const parent = n === 0 ? null : Math.floor((n - 1) / 2)
    const holds = (block: number) => (this.copies.get(block) ?? 0) > 0
    if (isStore && parent !== null && !holds(parent)) return null
    if (!isStore && (!holds(n) || (this.copies.get(n) === 1 && (holds(2 * n + 1) || holds(2 * n + 2)))))
      return null
    this.copies.set(n, (this.copies.get(n) ?? 0) + (isStore ? 1 : -1))
    const hashes = [this.hash(n)]
    return this.publish(
      isStore
        ? {
            type: 'BlockStored',
            block_hashes: hashes,
            parent_block_hash: parent === null ? null : this.hash(parent),
            token_ids: [n],
            block_size: 1,
            lora_id: null,
            medium: 'GPU',
            lora_name: null,
          }
        : { type: 'BlockRemoved', block_hashes: hashes, medium: 'GPU' },
    )
  }

  clear(): EventMessage {
    this.copies.clear()
    return this.publish({ type: 'AllBlocksCleared' })
  }

  restart(): void {
    this.copies.clear()
    this.buffer = []
    this.seq = 0
    this.life++
  }

  publish(event: unknown): EventMessage {
    const payload = encode([(this.#clock += 0.5) + 1e-3, [event], 0], { useBigInt64: true })
    const message = { seq: this.seq++, payload }
    this.buffer.push(message)
    if (this.buffer.length > this.#bufferMax) this.buffer.shift()
    return message
  }

  get resident(): bigint[] {
    return [...this.copies].flatMap(([n, copies]) => (copies > 0 ? [this.hash(n)] : [])).toSorted()
  }
}

/** A stream with an index behind it; replays are answered when the test says so. */
export class Subscription {
  readonly index = new BlockIndex('m', 1)
  readonly reasons: string[] = []
  readonly stream: EventStream
  asked: { fromSeq: number; token: number } | null = null
  readonly #decoder = new BatchDecoder()

  constructor(hasReplay = true) {
    this.stream = new EventStream({
      apply: ({ payload }) => {
        const batch = this.#decoder.decode(payload)
        if (!batch || batch.isLossy) return false
        this.index.applyBatch(0, batch)
        return true
      },
      forget: (reason) => {
        this.reasons.push(reason)
        this.index.fence(0)
      },
      replay: hasReplay ? (fromSeq, token) => void (this.asked = { fromSeq, token }) : null,
    })
  }

  /** `replies` null: all; else so many, and then silence. */
  answer(engine: Engine, replies: number | null = null): void {
    const { asked } = this
    if (!asked) return
    this.asked = null
    const all = engine.buffer.filter(({ seq }) => seq >= asked.fromSeq)
    for (const message of replies === null ? all : all.slice(0, replies))
      this.stream.receiveReplay(asked.token, message)
    this.stream.endReplay(asked.token, replies === null)
  }

  settle(engine: Engine): void {
    for (let rounds = 0; this.asked && rounds < 10; rounds++) this.answer(engine)
  }

  get resident(): bigint[] {
    return this.index.residentHashes(0, GPU).toSorted()
  }
}

export function connectedPair(hasReplay = true): { engine: Engine; sub: Subscription } {
  const engine = new Engine(10_000)
  const sub = new Subscription(hasReplay)
  sub.stream.connected()
  sub.settle(engine)
  return { engine, sub }
}
