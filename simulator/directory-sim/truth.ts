/**
 * What agents really said: for each epoch the state of the cluster after each frame, made from what the agent knew and not
 * from what it sent. Checkers compare every directory with it.
 */
import type { Change } from '../../cluster-agent/report/epoch-frames.ts'
import { keyNumber } from '../../core/key-number.ts'
import { decodeReportFrame } from '../../protocol/report-frame.ts'

export type Held = ReadonlyMap<number, number>

export interface EpochTruth {
  readonly cluster: string
  readonly incarnation: number
  /** False when the agent may not speak for that cluster. */
  readonly isRightful: boolean
  /** What the shard should hold after the frame of each number; no entry before the snapshot is complete. */
  readonly states: Map<number, Held>
  /** Changes that the agent has told the stream of and that no frame has carried yet. */
  readonly pushed: Change[]
  snapshot: Held | null
  lastSentMs: number
  hasLeft: boolean
}

export class Truth {
  readonly #epochs = new Map<number, EpochTruth>()
  /** Outcomes that a ledger has, by request id. */
  readonly settled = new Set<string>()

  epoch(epoch: number): EpochTruth | null {
    return this.#epochs.get(epoch) ?? null
  }

  begin(
    epoch: number,
    agent: Pick<EpochTruth, 'cluster' | 'incarnation' | 'isRightful'>,
    nowMs: number,
  ): void {
    this.#epochs.set(epoch, {
      ...agent,
      states: new Map(),
      pushed: [],
      snapshot: null,
      lastSentMs: nowMs,
      hasLeft: false,
    })
  }

  takeSnapshot(epoch: number, changes: readonly Change[]): void {
    const truth = this.#epochs.get(epoch)
    if (!truth) return
    truth.snapshot = new Map(changes.map(({ lo, hi, nibble }) => [keyNumber(lo, hi), nibble]))
    truth.pushed.length = 0
  }

  push(epoch: number, changes: readonly Change[]): void {
    const truth = this.#epochs.get(epoch)
    if (truth?.snapshot) truth.pushed.push(...changes)
  }

  /** The agent sends a frame: of it only kind, number and count are believed. */
  sent(bytes: Uint8Array, nowMs: number): void {
    const decoded = decodeReportFrame(bytes)
    if (!decoded.ok) throw new Error('an agent sent a frame that cannot be read')
    const { epoch, seq, kind, count } = decoded.frame
    const truth = this.#epochs.get(epoch)
    if (!truth) return
    truth.lastSentMs = nowMs
    if (kind === 'snapshot') return
    if (kind === 'snapshot-end') {
      truth.states.set(seq, new Map(truth.snapshot))
      return
    }
    const held = new Map(truth.states.get(seq - 1))
    for (const { lo, hi, nibble } of truth.pushed.splice(0, count)) {
      if (nibble === 0) held.delete(keyNumber(lo, hi))
      else held.set(keyNumber(lo, hi), nibble)
    }
    truth.states.set(seq, held)
    // Older states are needed as long as frames may be under way; nobody applies one this old.
    truth.states.delete(seq - 400)
  }
}
