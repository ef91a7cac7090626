/**
 * The numbered frames of one epoch: first the parts of a snapshot, then deltas. Changes that come while the snapshot is
 * under way wait for its end.
 */
import { encodeReportFrame, FRAME_CHANGES_MAX, type FrameKind } from '../../protocol/report-frame.ts'
import { PROTOCOL_VERSION } from '../../protocol/version.ts'

/** Where a PrefixKey lies from now on, as a residency nibble. */
export interface Change {
  readonly lo: number
  readonly hi: number
  readonly nibble: number
}

/** A snapshot part is small enough that a lookup waits at most a few milliseconds behind it. */
export const PART_CHANGES_MAX = 8192

export class EpochFrames {
  readonly epoch: number
  readonly #version: number
  readonly #partMax: number
  #seq = 0
  #parts: (readonly Change[])[] = []
  #waiting: Change[] = []
  #waitingSinceMs = 0

  constructor(epoch: number, version: number = PROTOCOL_VERSION, partMax: number = PART_CHANGES_MAX) {
    this.#partMax = partMax
    this.epoch = epoch
    this.#version = version
  }

  /** The number of the last frame, 0 before the first. */
  get seq(): number {
    return this.#seq
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Whether every part of the snapshot has been taken. */
  get isSnapshotOut(): boolean {
    return this.#parts.length === 0
  }

  takeSnapshot(all: readonly Change[]): void {
    for (let at = 0; at === 0 || at < all.length; at += this.#partMax) {
      this.#parts.push(all.slice(at, at + this.#partMax))
    }
  }

  /** The next part, or null when all are out. */
  nextPart(): Uint8Array<ArrayBuffer> | null {
    const part = this.#parts.shift()
    return part ? this.#frame(this.#parts.length === 0 ? 'snapshot-end' : 'snapshot', part, 0) : null
  }

  /** Changes for the next deltas, the oldest of them `ageMs` ago. */
  hold(changes: readonly Change[], ageMs: number, nowMs: number): void {
    if (this.#waiting.length === 0) this.#waitingSinceMs = nowMs - ageMs
    for (const change of changes) this.#waiting.push(change)
  }

  /** Everything that waits, as deltas. */
  flush(nowMs: number): Uint8Array<ArrayBuffer>[] {
    const frames: Uint8Array<ArrayBuffer>[] = []
    for (let at = 0; at < this.#waiting.length; at += FRAME_CHANGES_MAX) {
      const changes = this.#waiting.slice(at, at + FRAME_CHANGES_MAX)
      frames.push(this.#frame('delta', changes, nowMs - this.#waitingSinceMs))
    }
    this.#waiting = []
    return frames
  }

  #frame(kind: FrameKind, changes: readonly Change[], ageMs: number): Uint8Array<ArrayBuffer> {
    this.#seq++
    const frame = {
      kind,
      epoch: this.epoch,
      seq: this.#seq,
      ageMs,
      count: changes.length,
      keysLo: Uint32Array.from(changes, ({ lo }) => lo),
      keysHi: Uint32Array.from(changes, ({ hi }) => hi),
      nibbles: Uint8Array.from(changes, ({ nibble }) => nibble),
    }
    return encodeReportFrame(frame, this.#version)
  }
}
