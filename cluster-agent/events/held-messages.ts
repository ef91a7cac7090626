/** Live messages that wait for a replay, up to bounds. Beyond either they are let go and must be asked for again. */
import type { EventMessage } from './frames.ts'

export const HELD_MAX = 10_000
const HELD_BYTES_MAX = 64 * 1024 * 1024

export class HeldMessages {
  #messages: EventMessage[] = []
  #bytes = 0
  /** Whether some were let go since the last `clear`. */
  isOverrun = false

  get size(): number {
    return this.#messages.length
  }

  get lastSeq(): number {
    return this.#messages.at(-1)?.seq ?? -1
  }

  /** False when it and those before it were let go. */
  add(message: EventMessage): boolean {
    this.#messages.push(message)
    this.#bytes += message.payload.length
    if (this.#messages.length <= HELD_MAX && this.#bytes <= HELD_BYTES_MAX) return true
    this.take()
    this.isOverrun = true
    return false
  }

  /** In the order of their arrival. */
  take(): readonly EventMessage[] {
    const messages = this.#messages
    this.#messages = []
    this.#bytes = 0
    return messages
  }

  clear(): void {
    this.take()
    this.isOverrun = false
  }
}
