/** What an engine was asked to say again, and how far that has come. */
import { MARKS } from './event-cursor.ts'

export class ReplayCourse {
  /** Of the last replay that was asked for: what comes under another one is of no use. */
  token = 0
  /** The last message that was applied when the replay began, until the replay has come as far; -1: none. */
  awaitedSeq = -1
  /** Whether the first message of the replay ends what was known before. */
  isRefilling = false
  /**
   * All of history is asked for and none of it has come: what is said meanwhile is applied, and again behind history. An
   * engine may never answer.
   */
  isEager = false
  /** Whether all of history is asked for. */
  #isAll = false
  /** The first message of those that were applied so with nothing known before them; -1: none. */
  #eagerFrom = -1

  get isAll(): boolean {
    return this.#isAll
  }

  /** From which message on: all, or a few before the next one, which must be the same still. */
  begin(nextSeq: number | null): number {
    this.token++
    this.isEager ||= nextSeq === null || this.isRefilling
    this.#isAll = this.isEager
    const isUnchecked = nextSeq === null || (this.isEager && !this.isRefilling)
    this.awaitedSeq = isUnchecked ? -1 : nextSeq - 1
    return isUnchecked || this.isEager ? 0 : Math.max(nextSeq - MARKS, 0)
  }

  /** A live message is applied before the replay has said anything. */
  noteEager(seq: number, nextSeq: number | null): void {
    this.isEager = true
    if (seq !== nextSeq) this.#eagerFrom = seq
  }

  /** A message of the replay. True: it begins what was known before anew, as far as history did not begin with that. */
  noteReply(seq: number): boolean {
    const isAnew = this.isRefilling || this.#eagerFrom > seq
    if (isAnew) this.awaitedSeq = -1
    else if (seq >= this.awaitedSeq) this.awaitedSeq = -1
    this.end()
    return isAnew
  }

  /** Nothing more of it is believed to be all that there is. */
  end(): void {
    this.isRefilling = this.isEager = false
    this.#eagerFrom = -1
  }
}
