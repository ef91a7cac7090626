/**
 * The ZMQ frames around a KV event batch. A live message is `topic, seq, payload`. A replay reply, as a DEALER sees it,
 * is `"", seq, payload` (before 0.26, and SGLang) or `"", topic, seq, payload`; it ends with sequence number -1 and an
 * empty payload.
 */
export interface EventMessage {
  readonly seq: number
  readonly payload: Uint8Array
}

export type ReplayReply =
  | { readonly kind: 'message'; readonly message: EventMessage }
  | { readonly kind: 'end' }

const SEQ_BYTES = 8
const BATCH_OF_THREE = 0x93

/** null when the frames are no live message. */
export function parseLiveFrames(frames: readonly Uint8Array[]): EventMessage | null {
  const [, seqFrame, payload] = frames
  const seq = frames.length === 3 && seqFrame ? readSeq(seqFrame) : null
  return seq === null || seq < 0 || !payload ? null : { seq, payload }
}

/** null when the frames are no replay reply. */
export function parseReplayFrames(frames: readonly Uint8Array[]): ReplayReply | null {
  const delimiter = frames[0]
  if (!delimiter || delimiter.length !== 0 || frames.length < 3 || frames.length > 4) return null
  const seqFrame = frames.at(-2)
  const payload = frames.at(-1)
  const seq = seqFrame ? readSeq(seqFrame) : null
  if (seq === null || !payload) return null
  if (seq === -1) return payload.length === 0 ? { kind: 'end' } : null
  return { kind: 'message', message: { seq, payload } }
}

/** The data-parallel rank at the end of a payload `[time, events, rank]`; null when it does not stand there. */
export function peekRank(payload: Uint8Array): number | null {
  const last = payload.at(-1)
  if (payload[0] !== BATCH_OF_THREE || last === undefined) return null
  if (last < 0x80) return last
  return last < 0xc0 && payload.at(-2) === 0xcc ? last : null
}

/** What a DEALER sends to have everything from `seq` on repeated. */
export function replayRequest(seq: number): Uint8Array[] {
  const frame = new Uint8Array(SEQ_BYTES)
  new DataView(frame.buffer).setBigUint64(0, BigInt(seq))
  return [new Uint8Array(0), frame]
}

/** A sequence number beyond 2^53 would take an engine 28,000 years of steps: it is malformed. */
function readSeq(frame: Uint8Array): number | null {
  if (frame.length !== SEQ_BYTES) return null
  const seq = new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getBigInt64(0)
  return seq >= -1n && seq <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seq) : null
}
