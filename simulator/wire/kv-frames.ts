/** The ZMQ frames around a batch: live messages, replay requests and both layouts of replay replies. */
import { isCurrent, type EngineVersion } from './engine-version.ts'

const EMPTY = new Uint8Array(0)
const SEQ_BYTES = 8
const END_SEQ = 0xffff_ffff_ffff_ffffn

/** Sequence numbers are 8 bytes, big endian. */
export function seqFrame(seq: number | bigint): Uint8Array {
  const frame = new Uint8Array(SEQ_BYTES)
  new DataView(frame.buffer).setBigUint64(0, BigInt(seq))
  return frame
}

/** What follows the requester's identity in one replayed batch. */
export function replayFrames(
  version: EngineVersion,
  topic: string,
  seq: number,
  payload: Uint8Array,
): (Uint8Array | string)[] {
  return isCurrent(version) ? [EMPTY, topic, seqFrame(seq), payload] : [EMPTY, seqFrame(seq), payload]
}

/** What follows the identity when everything is replayed. */
export function replayEndFrames(version: EngineVersion): (Uint8Array | string)[] {
  const end = seqFrame(END_SEQ)
  return isCurrent(version) ? [EMPTY, '', end, EMPTY] : [EMPTY, end, EMPTY]
}

/** The first sequence number asked for, or null for a message that vLLM ignores. */
export function replayStart(frames: readonly Uint8Array[]): number | null {
  const [, delimiter, seq] = frames
  if (frames.length !== 3 || delimiter?.length !== 0 || seq?.length !== SEQ_BYTES) return null
  const start = new DataView(seq.buffer, seq.byteOffset, SEQ_BYTES).getBigUint64(0)
  return Number(start)
}
