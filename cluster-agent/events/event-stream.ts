/**
 * One engine core's event stream: what was received, in any order and with any loss, turned into what may be believed. It
 * follows stream-table.ts and does no I/O: replays are asked for and handed in. The first part of history that is known
 * counts as positive knowledge: what was stored and not removed since is there. So does what is said while all of history
 * is asked for and none of it has come.
 */
import { EventCursor } from './event-cursor.ts'
import type { EventMessage } from './frames.ts'
import { HeldMessages } from './held-messages.ts'
import { ReplayCourse } from './replay-course.ts'
import { EVENT_STREAM_TABLE, type StreamEvent, type StreamState } from './stream-table.ts'

export interface StreamEffects {
  /** False when it cannot be read whole: a removal may be in it. */
  apply(message: EventMessage): boolean
  /** What is known is of another process, or has a hole. */
  forget(reason: string): void
  /** Ask the engine for everything from `fromSeq` on and hand it in under `token`; null where it has no replay. */
  readonly replay: ((fromSeq: number, token: number) => void) | null
}

export class EventStream {
  readonly #effects: StreamEffects
  readonly #cursor = new EventCursor()
  readonly #course = new ReplayCourse()
  readonly #held = new HeldMessages()
  #state: StreamState = 'cold'
  /** Whether history may be had of which nothing is known, because a replay failed or had a hole. */
  #isPartial = false
  /** Whether something was lost that no replay of all has brought since. */
  #hasLost = false
  readonly counts = { applied: 0, replayed: 0, copies: 0, gaps: 0, holes: 0, fences: 0, overruns: 0 }

  constructor(effects: StreamEffects) {
    this.#effects = effects
  }

  get state(): StreamState {
    return this.#state
  }

  /** Whether `refill` may bring more than is known. */
  get isPartial(): boolean {
    return this.#isPartial
  }

  /** Whether the engine may hold what was said and not heard. */
  get isMissing(): boolean {
    return this.#isPartial || this.#hasLost
  }

  /** Whether live messages wait for the replay. */
  get isWaiting(): boolean {
    return this.#state === 'syncing' && this.#held.size > 0 && !this.#course.isEager
  }

  get nextSeq(): number | null {
    return this.#cursor.nextSeq
  }

  connected(): void {
    this.#on('connected', 'reconnected')
  }

  disconnected(): void {
    this.#on('disconnected', 'disconnected')
  }

  /** Nothing came for a while. Asks whether that is so. */
  quiet(): void {
    if (this.#effects.replay) this.#on('quiet', '')
  }

  /** Reads the engine's history again, after a replay that failed. */
  refill(): void {
    if (this.#isPartial) this.reread()
  }

  /** The same, whatever is known. */
  reread(): void {
    if (this.#effects.replay) this.#on('incomplete', '')
  }

  /** Nothing came of the replay for long: what waits for it is applied without. */
  giveUpReplay(): void {
    this.endReplay(this.#course.token, false)
  }

  /** A sign from elsewhere: forget what is known and read it anew. */
  changed(reason: string): void {
    this.#on('changed', reason)
  }

  receive(message: EventMessage): void {
    const verdict = this.#cursor.judge(message)
    if (this.#state === 'live' && verdict === 'gap') this.counts.gaps++
    if (verdict === 'copy') this.counts.copies++
    this.#on(verdict, 'sequence went back', message)
  }

  receiveReplay(token: number, message: EventMessage): void {
    if (token !== this.#course.token || this.#state !== 'syncing') return
    if (this.#course.noteReply(message.seq)) {
      this.#isPartial = false
      this.#cursor.clear()
      this.#effects.forget('read again')
    }
    const { nextSeq } = this.#cursor
    if (nextSeq === null || message.seq >= nextSeq) {
      this.counts.replayed++
      this.#apply(message)
    } else if (this.#cursor.contradicts(message)) {
      // A restart that nobody saw: the new process has passed the number that the old one had reached.
      this.changed('replay contradicts')
    }
  }

  /** `isWhole`: the engine said that this was all. */
  endReplay(token: number, isWhole: boolean): void {
    const course = this.#course
    if (token !== course.token || this.#state !== 'syncing') return
    if (isWhole && course.isRefilling) this.#isPartial = false
    if (isWhole && course.isAll) this.#hasLost = false
    if (!isWhole && (course.isEager || this.#cursor.nextSeq === null)) this.#isPartial = true
    // What was let go was applied before.
    if (!isWhole && course.isEager) this.#held.isOverrun = false
    course.end()
    // An engine that has not even the last message is not the one that sent it.
    if (isWhole && course.awaitedSeq >= 0) {
      this.changed('replay contradicts')
      return
    }
    if (isWhole) this.#cursor.nextSeq ??= 0
    this.#on('replayed', '')
  }

  #on(event: StreamEvent, reason: string, message?: EventMessage): void {
    const { to, action } = EVENT_STREAM_TABLE[this.#state][event]
    this.#state = to
    switch (action) {
      case 'none':
        break
      case 'apply':
        if (message) this.#apply(message)
        break
      case 'hold':
        if (message) this.#hold(message)
        break
      case 'settle':
        this.#settle()
        break
      case 'forget':
        this.#forget(reason)
        break
      case 'refill':
        this.#course.isRefilling = true
        this.#replay()
        break
      case 'replay':
      case 'hold-and-replay':
        if (message) this.#hold(message)
        this.#replay()
        break
      case 'forget-and-replay':
      case 'forget-hold-and-replay':
        this.#forget(reason)
        if (message) this.#hold(message)
        this.#replay()
        break
    }
  }

  /** Nothing is applied across a hole: what was removed in it would be believed for ever. */
  #apply(message: EventMessage): void {
    if (this.#cursor.nextSeq !== null && message.seq > this.#cursor.nextSeq) {
      this.counts.holes++
      this.#isPartial = this.#hasLost = true
      this.#cursor.clear()
      this.#effects.forget('events are missing')
    }
    this.counts.applied++
    if (!this.#effects.apply(message)) {
      this.counts.holes++
      this.#hasLost = true
      this.#effects.forget('unreadable events')
    }
    this.#cursor.note(message)
  }

  #forget(reason: string): void {
    this.counts.fences++
    this.#course.token++
    this.#course.end()
    this.#cursor.clear()
    this.#held.clear()
    this.#isPartial = this.#hasLost = false
    this.#effects.forget(reason)
  }

  #replay(): void {
    const fromSeq = this.#course.begin(this.#cursor.nextSeq)
    if (this.#effects.replay) {
      this.#effects.replay(fromSeq, this.#course.token)
      return
    }
    this.#course.end()
    this.#on('replayed', '')
  }

  #hold(message: EventMessage): void {
    if (this.#course.isEager && this.#cursor.isSame(message)) return
    const lastSeq = this.#course.isEager ? (this.#cursor.nextSeq ?? 0) - 1 : this.#held.lastSeq
    if (message.seq <= lastSeq) {
      // One connection keeps the order: this is another life. What is held is of the last one.
      this.#on('changed', 'sequence went back')
      if (this.#state !== 'syncing') {
        this.receive(message)
        return
      }
    }
    if (!this.#held.add(message)) this.counts.overruns++
    if (!this.#course.isEager && this.#cursor.nextSeq !== null) return
    this.#course.noteEager(message.seq, this.#cursor.nextSeq)
    this.#apply(message)
  }

  #settle(): void {
    const { isOverrun } = this.#held
    const held = this.#held.take()
    for (const message of held)
      if (this.#cursor.nextSeq === null || message.seq >= this.#cursor.nextSeq) this.#apply(message)
    this.#held.isOverrun = false
    if (!isOverrun) return
    // What was let go meanwhile is asked for, since an idle engine would not show that it is missing.
    this.#state = 'syncing'
    this.#replay()
  }
}
