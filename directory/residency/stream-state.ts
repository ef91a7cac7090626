/**
 * The life of one report stream as a table; a missing cell does not compile. Frames that the cursor finds out of order
 * arrive here as the event `fault`.
 */
import type { RESYNC_REASONS } from '../../protocol/report.ts'

/** `absent`: nothing is known; `syncing`: a snapshot is under way; `live`: deltas follow a complete snapshot. */
export type StreamState = 'absent' | 'syncing' | 'live'

export type StreamEvent = 'hello' | 'snapshot' | 'snapshot-end' | 'delta' | 'heartbeat' | 'fault' | 'silence'

export type StreamAction =
  /** Forget the residency of the cluster, take its offers, answer `welcome`. */
  | 'begin'
  /** Apply the changes and acknowledge. */
  | 'apply-and-ack'
  | 'apply'
  | 'take-load'
  /** Forget the residency and ask for a new hello. */
  | 'ask-resync'
  /** Forget the residency and everything else. */
  | 'forget'
  | 'ignore'

export interface Transition {
  readonly to: StreamState
  readonly action: StreamAction
  /** What a resync says, where the event does not bring its own reason. */
  readonly reason?: (typeof RESYNC_REASONS)[number]
}

const begin: Transition = { to: 'syncing', action: 'begin' }
const unknownStream: Transition = { to: 'absent', action: 'ask-resync', reason: 'unknown-stream' }
const misplaced: Transition = { to: 'absent', action: 'ask-resync', reason: 'malformed-frame' }
const fault: Transition = { to: 'absent', action: 'ask-resync' }
const forget: Transition = { to: 'absent', action: 'forget' }

export const STREAM_TABLE: Record<StreamState, Record<StreamEvent, Transition>> = {
  absent: {
    hello: begin,
    snapshot: unknownStream,
    'snapshot-end': unknownStream,
    delta: unknownStream,
    heartbeat: unknownStream,
    fault: unknownStream,
    silence: forget,
  },
  syncing: {
    hello: begin,
    snapshot: { to: 'syncing', action: 'apply-and-ack' },
    'snapshot-end': { to: 'live', action: 'apply-and-ack' },
    // A delta before the end of the snapshot would be overwritten by an older part of it.
    delta: misplaced,
    heartbeat: { to: 'syncing', action: 'take-load' },
    fault,
    silence: forget,
  },
  live: {
    hello: begin,
    snapshot: misplaced,
    'snapshot-end': misplaced,
    delta: { to: 'live', action: 'apply' },
    heartbeat: { to: 'live', action: 'take-load' },
    fault,
    silence: forget,
  },
}
