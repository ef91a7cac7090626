/**
 * The life of one report stream as a table; a missing cell does not compile. Frames that the cursor finds out of order
 * arrive here as the event `fault`.
 */
import type { RESYNC_REASONS } from '../../protocol/report.ts'

export const STREAM_STATES = [
  /** Nothing is known. */
  'absent',
  /** A snapshot is under way. */
  'syncing',
  /** Deltas follow a complete snapshot. */
  'live',
  /** The agent has left for good. */
  'gone',
] as const
export type StreamState = (typeof STREAM_STATES)[number]

export type StreamEvent =
  | 'hello'
  | 'snapshot'
  | 'snapshot-end'
  | 'delta'
  | 'heartbeat'
  | 'quiesce'
  | 'fault'
  | 'silence'

export type StreamAction =
  /** Forget the residency of the cluster, take its offers, answer `welcome`. */
  | 'begin'
  /** Apply the changes and acknowledge. */
  | 'apply-and-ack'
  | 'apply'
  | 'take-load'
  /** Forget the residency and ask for a new hello. */
  | 'ask-resync'
  /** Forget the residency. */
  | 'forget'
  | 'ignore'

export interface Transition {
  readonly to: StreamState
  readonly action: StreamAction
  /** What a resync says, where the event does not bring its own reason. */
  readonly reason?: (typeof RESYNC_REASONS)[number]
}

export type StreamTable = Readonly<Record<StreamState, Readonly<Record<StreamEvent, Transition>>>>

const begin: Transition = { to: 'syncing', action: 'begin' }
const unknownStream: Transition = { to: 'absent', action: 'ask-resync', reason: 'unknown-stream' }
const misplaced: Transition = { to: 'absent', action: 'ask-resync', reason: 'malformed-frame' }
const fault: Transition = { to: 'absent', action: 'ask-resync' }
const forget: Transition = { to: 'absent', action: 'forget' }
const leave: Transition = { to: 'gone', action: 'forget' }
/** What was under way when the agent left. */
const late: Transition = { to: 'gone', action: 'ignore' }

export const STREAM_TABLE: StreamTable = {
  absent: {
    hello: begin,
    snapshot: unknownStream,
    'snapshot-end': unknownStream,
    delta: unknownStream,
    heartbeat: unknownStream,
    quiesce: leave,
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
    quiesce: leave,
    fault,
    silence: forget,
  },
  live: {
    hello: begin,
    snapshot: misplaced,
    'snapshot-end': misplaced,
    delta: { to: 'live', action: 'apply' },
    heartbeat: { to: 'live', action: 'take-load' },
    quiesce: leave,
    fault,
    silence: forget,
  },
  gone: {
    hello: begin,
    snapshot: late,
    'snapshot-end': late,
    delta: late,
    heartbeat: late,
    quiesce: late,
    fault: late,
    silence: forget,
  },
}
