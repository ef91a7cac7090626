/**
 * The agent's side of a report stream as a table; a missing cell does not compile. `docs/PROTOCOL.md` has the other side.
 */
export const STREAM_STATES = [
  /** No socket, or one that is not open yet. */
  'connecting',
  /** Hello sent, no welcome yet. */
  'greeting',
  /** A part of the snapshot sent, its ack awaited. */
  'snapshot',
  /** Deltas and heartbeats. */
  'live',
  /** Gone for good. */
  'left',
] as const
export type StreamState = (typeof STREAM_STATES)[number]

export type StreamEvent =
  | 'open'
  | 'welcome'
  | 'ack'
  /** The ack of the last part. */
  | 'last-ack'
  | 'resync'
  | 'refused'
  /** Nothing came for too long, or the socket takes nothing. */
  | 'overdue'
  | 'closed'
  | 'quiesce'

export type StreamAction =
  | 'none'
  | 'send-hello'
  | 'send-part'
  /** Let go of the socket and dial again later. */
  | 'redial'
  /** Say that the agent leaves, then let go. */
  | 'say-goodbye'

export interface Transition {
  readonly to: StreamState
  readonly action: StreamAction
}

export type StreamTable = Readonly<Record<StreamState, Readonly<Record<StreamEvent, Transition>>>>

const hello: Transition = { to: 'greeting', action: 'send-hello' }
const redial: Transition = { to: 'connecting', action: 'redial' }
const goodbye: Transition = { to: 'left', action: 'say-goodbye' }
const stay = (state: StreamState): Transition => ({ to: state, action: 'none' })
const left = stay('left')

/** Messages that belong to an earlier epoch are dropped before the table is asked. */
export const STREAM_TABLE: StreamTable = {
  connecting: {
    open: hello,
    welcome: stay('connecting'),
    ack: stay('connecting'),
    'last-ack': stay('connecting'),
    resync: stay('connecting'),
    refused: redial,
    overdue: redial,
    closed: redial,
    quiesce: goodbye,
  },
  greeting: {
    open: stay('greeting'),
    welcome: { to: 'snapshot', action: 'send-part' },
    ack: stay('greeting'),
    'last-ack': stay('greeting'),
    // A directory that asks again before it has answered the last hello has that one still to come.
    resync: stay('greeting'),
    refused: redial,
    overdue: redial,
    closed: redial,
    quiesce: goodbye,
  },
  snapshot: {
    open: stay('snapshot'),
    welcome: stay('snapshot'),
    ack: { to: 'snapshot', action: 'send-part' },
    'last-ack': { to: 'live', action: 'none' },
    resync: hello,
    refused: redial,
    overdue: redial,
    closed: redial,
    quiesce: goodbye,
  },
  live: {
    open: stay('live'),
    welcome: stay('live'),
    ack: stay('live'),
    'last-ack': stay('live'),
    resync: hello,
    refused: redial,
    overdue: redial,
    closed: redial,
    quiesce: goodbye,
  },
  left: {
    open: left,
    welcome: left,
    ack: left,
    'last-ack': left,
    resync: left,
    refused: left,
    overdue: left,
    closed: left,
    quiesce: left,
  },
}
