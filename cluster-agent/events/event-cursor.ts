/**
 * Where a subscription stands in one engine's event stream. The stream carries no mark of the engine's life: a number that
 * goes back means another engine process, unless the message is the very one that had this number before.
 */
import type { EventMessage } from './frames.ts'

export type EventVerdict = 'next' | 'copy' | 'gap' | 'back'

/** Messages that are told from those that another life has under their numbers. */
export const MARKS = 16
const MARK_BYTES = 16

export class EventCursor {
  /** The number that comes next, or null before any is known. */
  nextSeq: number | null = null
  readonly #marks = new Int32Array(MARKS)

  judge(message: EventMessage): EventVerdict {
    if (this.nextSeq === null || message.seq === this.nextSeq) return 'next'
    if (message.seq > this.nextSeq) return 'gap'
    return this.isSame(message) ? 'copy' : 'back'
  }

  note(message: EventMessage): void {
    this.nextSeq = message.seq + 1
    this.#marks[message.seq % MARKS] = markOf(message)
  }

  /** Whether a message is the one that was noted under its number. */
  isSame(message: EventMessage): boolean {
    return this.#mark(message.seq) === markOf(message)
  }

  /** Whether another message was noted under its number. Old ones are not remembered. */
  contradicts(message: EventMessage): boolean {
    const mark = this.#mark(message.seq)
    return mark !== UNKNOWN && mark !== markOf(message)
  }

  clear(): void {
    this.nextSeq = null
    this.#marks.fill(UNKNOWN)
  }

  #mark(seq: number): number {
    const isRecent = this.nextSeq !== null && seq < this.nextSeq && seq >= this.nextSeq - MARKS
    return isRecent ? (this.#marks[seq % MARKS] ?? UNKNOWN) : UNKNOWN
  }
}

/** No message has this mark. */
const UNKNOWN = 0

/** The first bytes hold the batch's time, the last ones its newest tokens or hashes. */
function markOf({ seq, payload }: EventMessage): number {
  let mark = Math.imul(seq + 1, 0x9e3779b1) ^ payload.length
  const { length } = payload
  for (let i = 0; i < MARK_BYTES && i < length; i++) {
    mark = Math.imul(mark ^ (payload[i] as number), 0x85ebca6b)
    mark = Math.imul(mark ^ (payload[length - 1 - i] as number), 0xc2b2ae35)
    mark ^= mark >>> 15
  }
  return mark | 1
}
