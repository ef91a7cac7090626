/**
 * Evictions by the thousand: one event each, which differs from the last one in its hash and in nothing else. Such an event is
 * compared with the one before it and not read field by field.
 */
import type { BatchEvent, EventBatch } from './event-batch.ts'
import { BIN_8, INT_64, UINT_64, wordAt, type MsgpackCursor } from './msgpack-cursor.ts'

export class Repeat {
  /** Where the first hash of the event stands that is being read. */
  hashAt = 0
  #event: BatchEvent | null = null
  /** The last event in its payload: where it begins, the bytes up to its hash, those of the hash, and all of them. */
  #start = 0
  #prefix = 0
  #hash = 0
  #length = 0

  /** Another payload: nothing can be repeated. */
  end(): void {
    this.#event = null
  }

  note(event: BatchEvent, start: number, end: number): void {
    this.#event = event.kind === 'removed' && event.hashCount === 1 ? event : null
    this.#start = start
    this.#prefix = this.hashAt - start
    this.#hash = 0
    this.#length = end - start
  }

  /** Reads one more of the same; false when it is another one. */
  read(cursor: MsgpackCursor, batch: EventBatch): boolean {
    const last = this.#event
    if (!last) return false
    const { bytes, at } = cursor
    const start = this.#start
    const length = this.#length
    if (this.#hash === 0 && !this.#measure(bytes)) return false
    if (at + length > bytes.length || !batch.reserveHashes(1)) return false
    for (let i = this.#prefix - 1; i >= 0; i--) if (bytes[start + i] !== bytes[at + i]) return false
    for (let i = this.#prefix + this.#hash; i < length; i++)
      if (bytes[start + i] !== bytes[at + i]) return false
    const event = batch.open('removed')
    event.medium = last.medium
    event.group = last.group
    event.hashCount = 1
    const hashAt = at + this.#prefix + this.#hash - 8
    batch.addHash(wordAt(bytes, hashAt + 4), wordAt(bytes, hashAt))
    cursor.at = at + length
    this.#event = event
    this.#start = at
    return true
  }

  /** A whole number of 8 bytes, or a digest, of which the last 8 count. What stands before them is compared. */
  #measure(bytes: Uint8Array): boolean {
    const mark = bytes[this.#start + this.#prefix]
    const isDigest = mark === BIN_8
    if (!isDigest && mark !== UINT_64 && mark !== INT_64) {
      this.#event = null
      return false
    }
    this.#hash = isDigest ? (bytes[this.#start + this.#prefix + 1] as number) : 8
    this.#prefix += isDigest ? 2 : 1
    return true
  }
}
