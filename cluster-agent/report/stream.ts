/**
 * The agent's side of a report stream as a table; a missing cell does not compile. `docs/PROTOCOL.md` has the other side.
 */
export type StreamState = 'connecting' | 'greeting' | 'snapshot' | 'live'

export type StreamEvent = 'open' | 'welcome' | 'ack' | 'last-ack' | 'resync' | 'closed'

export type StreamAction = 'none' | 'send-hello' | 'send-part' | 'reconnect'

export interface Transition {
  readonly to: StreamState
  readonly action: StreamAction
}

const hello: Transition = { to: 'greeting', action: 'send-hello' }
const reconnect: Transition = { to: 'connecting', action: 'reconnect' }
const stay = (state: StreamState): Transition => ({ to: state, action: 'none' })

/** Messages that belong to an earlier epoch are dropped before the table is asked. */
export const STREAM_TABLE: Record<StreamState, Record<StreamEvent, Transition>> = {
  connecting: {
    open: hello,
    welcome: stay('connecting'),
    ack: stay('connecting'),
    'last-ack': stay('connecting'),
    resync: stay('connecting'),
    closed: reconnect,
  },
  greeting: {
    open: stay('greeting'),
    welcome: { to: 'snapshot', action: 'send-part' },
    ack: stay('greeting'),
    'last-ack': stay('greeting'),
    // A directory that asks again before it has answered the last hello has that one still to come.
    resync: stay('greeting'),
    closed: reconnect,
  },
  snapshot: {
    open: stay('snapshot'),
    welcome: stay('snapshot'),
    ack: { to: 'snapshot', action: 'send-part' },
    'last-ack': { to: 'live', action: 'none' },
    resync: hello,
    closed: reconnect,
  },
  live: {
    open: stay('live'),
    welcome: stay('live'),
    ack: stay('live'),
    'last-ack': stay('live'),
    resync: hello,
    closed: reconnect,
  },
}
