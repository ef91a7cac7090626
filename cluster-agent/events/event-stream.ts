/**
 * One engine core's event stream: what was received, in any order and with any loss, turned into what may be believed. It
 * follows stream-table.ts and does no I/O: replays are asked for and handed in. The first part of history that is known
 * counts as positive knowledge: what was stored and not removed since is there.
 */
import { EventCursor, MARKS } from './event-cursor.ts'
import type { EventMessage } from './frames.ts'
import { EVENT_STREAM_TABLE, type StreamEvent, type StreamState } from './stream-table.ts'

export interface StreamEffects {
  /** False when it cannot be read whole: a removal may be in it. */
  apply(message: EventMessage): boolean
  /** What is known is of another process, or has a hole. */
  forget(reason: string): void
  /** Ask the engine for everything from `fromSeq` on and hand it in under `token`; null where it has no replay. */
  readonly replay: ((fromSeq: number, token: number) => void) | null
}

/** Live messages that wait for a replay. Beyond either they are let go and asked for again. */
export const HELD_MAX = 10_000
export const HELD_BYTES_MAX = 64 * 1024 * 1024

export class EventStream {
  readonly #effects: StreamEffects
  readonly #cursor = new EventCursor()
  #state: StreamState = 'cold'
  #token = 0
  /** The last message that was applied when the replay began, until the replay has come as far; -1: none. */
  #awaitedSeq = -1
  #held: EventMessage[] = []
  #heldBytes = 0
  #isOverrun = false
  /** Whether history may be had of which nothing is known, because a replay failed or had a hole. */
  #isPartial = false
  /** Whether the first message of the replay ends what was known before. */
  #isRefilling = false
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
    if (this.#isPartial && this.#effects.replay) this.#on('incomplete', '')
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
    if (token !== this.#token || this.#state !== 'syncing') return
    if (this.#isRefilling) this.#beginAnew()
    const { nextSeq } = this.#cursor
    if (message.seq >= this.#awaitedSeq) this.#awaitedSeq = -1
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
    if (token !== this.#token || this.#state !== 'syncing') return
    if (isWhole && this.#isRefilling) this.#isPartial = false
    this.#isRefilling = false
    // An engine that has not even the last message is not the one that sent it.
    if (isWhole && this.#awaitedSeq >= 0) {
      this.changed('replay contradicts')
      return
    }
    if (isWhole) this.#cursor.nextSeq ??= 0
    else if (this.#cursor.nextSeq === null) this.#isPartial = true
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
        this.#isRefilling = true
        this.#replay(0)
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
      this.#isPartial = true
      this.#cursor.clear()
      this.#effects.forget('events are missing')
    }
    this.counts.applied++
    if (!this.#effects.apply(message)) {
      this.counts.holes++
      this.#effects.forget('unreadable events')
    }
    this.#cursor.note(message)
  }

  /** The history comes that is read again. */
  #beginAnew(): void {
    this.#isRefilling = false
    this.#isPartial = false
    this.#awaitedSeq = -1
    this.#cursor.clear()
    this.#effects.forget('read again')
  }

  #forget(reason: string): void {
    this.counts.fences++
    this.#token++
    this.#cursor.clear()
    this.#dropHeld()
    this.#isOverrun = false
    this.#isPartial = false
    this.#isRefilling = false
    this.#effects.forget(reason)
  }

  /** By default from a few messages before the next one: they must be the same still. */
  #replay(fromSeq = Math.max((this.#cursor.nextSeq ?? 0) - MARKS, 0)): void {
    const { nextSeq } = this.#cursor
    this.#token++
    this.#awaitedSeq = nextSeq === null ? -1 : nextSeq - 1
    if (this.#effects.replay) this.#effects.replay(fromSeq, this.#token)
    else this.#on('replayed', '')
  }

  #hold(message: EventMessage): void {
    const last = this.#held.at(-1)
    if (last && message.seq <= last.seq) {
      // One connection keeps the order: this is another life. What is held is of the last one.
      this.#on('changed', 'sequence went back')
    }
    this.#held.push(message)
    this.#heldBytes += message.payload.length
    if (this.#held.length <= HELD_MAX && this.#heldBytes <= HELD_BYTES_MAX) return
    this.counts.overruns++
    this.#isOverrun = true
    this.#dropHeld()
  }

  #settle(): void {
    const held = this.#held
    this.#dropHeld()
    for (const message of held)
      if (this.#cursor.nextSeq === null || message.seq >= this.#cursor.nextSeq) this.#apply(message)
    if (!this.#isOverrun) return
    // What was let go meanwhile is asked for, since an idle engine would not show that it is missing.
    this.#isOverrun = false
    this.#state = 'syncing'
    this.#replay()
  }

  #dropHeld(): void {
    this.#held = []
    this.#heldBytes = 0
  }
}
