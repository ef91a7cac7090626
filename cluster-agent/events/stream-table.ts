/**
 * What a subscription makes of what happens to it, as a table; a missing cell does not compile. One table an endpoint and
 * rank, one life of it an incarnation: `forget` ends what was known of the last.
 */

/**
 * cold: nobody is connected and nothing is known. syncing: a replay is under way; live messages wait for it, or are applied
 * while all of history is asked for and none has come. live: what the engine says is applied as it comes. Each is honest: what
 * is known is true, or it is forgotten.
 */
export type StreamState = 'cold' | 'syncing' | 'live'

export type StreamEvent =
  | 'connected'
  | 'disconnected'
  /** A live message: the next one, one that was applied, one behind a gap, one of another life. */
  | 'next'
  | 'copy'
  | 'gap'
  | 'back'
  /** Nothing was heard for a while: the last message may be lost, or the engine may be another one. */
  | 'quiet'
  /** What lies before the messages that were applied could not be read, and may be read by now. */
  | 'incomplete'
  /** The replay came to its end, or it never will. */
  | 'replayed'
  /** A sign from elsewhere that the engine is another process or that what is known is wrong. */
  | 'changed'

export type StreamAction =
  | 'none'
  | 'apply'
  /** Keep the message until the replay is over; apply it too while all of history is asked for and none has come. */
  | 'hold'
  /** Keep it and ask for what lies before it. */
  | 'hold-and-replay'
  | 'replay'
  /** Ask for all of history; what is known is forgotten when it comes, and stands when it does not. */
  | 'refill'
  | 'forget'
  | 'forget-and-replay'
  /** As `forget-and-replay`, and the message is of the new life. */
  | 'forget-hold-and-replay'
  /** Apply what was held. */
  | 'settle'

export interface Transition {
  readonly to: StreamState
  readonly action: StreamAction
}

const go = (to: StreamState, action: StreamAction = 'none'): Transition => ({ to, action })

export const EVENT_STREAM_TABLE: Readonly<Record<StreamState, Readonly<Record<StreamEvent, Transition>>>> = {
  cold: {
    connected: go('syncing', 'replay'),
    disconnected: go('cold'),
    // A message may overtake the news of the connection.
    next: go('syncing', 'hold-and-replay'),
    copy: go('syncing', 'hold-and-replay'),
    gap: go('syncing', 'hold-and-replay'),
    back: go('syncing', 'hold-and-replay'),
    quiet: go('cold'),
    incomplete: go('cold'),
    // Of a replay that a lost connection left behind.
    replayed: go('cold'),
    changed: go('cold', 'forget'),
  },
  syncing: {
    // To whom the replay speaks is not certain.
    connected: go('syncing', 'forget-and-replay'),
    disconnected: go('cold', 'forget'),
    // Nothing is judged before the replay has said where the stream stands.
    next: go('syncing', 'hold'),
    copy: go('syncing', 'hold'),
    gap: go('syncing', 'hold'),
    back: go('syncing', 'hold'),
    quiet: go('syncing'),
    incomplete: go('syncing'),
    replayed: go('live', 'settle'),
    changed: go('syncing', 'forget-and-replay'),
  },
  live: {
    // The news of a lost connection may have been lost itself.
    connected: go('syncing', 'forget-and-replay'),
    disconnected: go('cold', 'forget'),
    next: go('live', 'apply'),
    copy: go('live'),
    gap: go('syncing', 'hold-and-replay'),
    back: go('syncing', 'forget-hold-and-replay'),
    quiet: go('syncing', 'replay'),
    incomplete: go('syncing', 'refill'),
    replayed: go('live'),
    changed: go('syncing', 'forget-and-replay'),
  },
}
