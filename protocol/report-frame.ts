/**
 * Binary frames of a report stream, little-endian.
 *
 * | bytes | field |
 * |---|---|
 * | 0 | version |
 * | 1 | kind: 1 snapshot part, 2 last snapshot part, 3 delta |
 * | 2-3 | version 2: age in ms of the oldest change when the frame was sent, 65,535 for more; version 1: 0 |
 * | 4-7 | epoch |
 * | 8-11 | sequence number, from 1, +1 a frame of any kind |
 * | 12-15 | count of changes |
 * | 16- | count x u32 low halves of the keys, count x u32 high halves, then nibbles, two a byte, low nibble first |
 *
 * A change says: from now on this PrefixKey lies where the nibble says, or nowhere (0). A nibble is a tier number of
 * core/tiers.ts; its fourth bit (version 2) says that more than one endpoint holds the prefix there.
 */
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST } from './version.ts'

export const FRAME_HEADER_BYTES = 16
/** The most changes of one frame: 147 KB, a few milliseconds of the directory's time. */
export const FRAME_CHANGES_MAX = 16_384
const AGE_MS_MAX = 0xffff

export type FrameKind = 'snapshot' | 'snapshot-end' | 'delta'

export interface ReportFrame {
  readonly kind: FrameKind
  readonly epoch: number
  readonly seq: number
  /** Age of the oldest change when the frame was sent, in ms. */
  readonly ageMs: number
  readonly count: number
  readonly keysLo: Uint32Array
  readonly keysHi: Uint32Array
  /** One nibble a change. */
  readonly nibbles: Uint8Array
}

const KIND_CODES: Record<FrameKind, number> = { snapshot: 1, 'snapshot-end': 2, delta: 3 }
const KINDS_BY_CODE: readonly (FrameKind | undefined)[] = [undefined, 'snapshot', 'snapshot-end', 'delta']

export type DecodedFrame =
  | { readonly ok: true; readonly frame: ReportFrame }
  | { readonly ok: false; readonly reason: 'malformed-frame' | 'unsupported-version' }

/** Encoded as `version` has it: a directory that is one version behind reads no newer one. */
export function encodeReportFrame(frame: ReportFrame, version = PROTOCOL_VERSION): Uint8Array<ArrayBuffer> {
  const { count } = frame
  if (count > FRAME_CHANGES_MAX) throw new RangeError(`a frame holds at most ${FRAME_CHANGES_MAX} changes`)
  const nibbleMask = version > 1 ? 15 : 7
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + count * 8 + ((count + 1) >> 1))
  const view = new DataView(bytes.buffer)
  bytes[0] = version
  bytes[1] = KIND_CODES[frame.kind]
  if (version > 1) view.setUint16(2, Math.min(Math.max(Math.round(frame.ageMs), 0), AGE_MS_MAX), true)
  view.setUint32(4, frame.epoch, true)
  view.setUint32(8, frame.seq, true)
  view.setUint32(12, count, true)
  for (let i = 0; i < count; i++) {
    view.setUint32(FRAME_HEADER_BYTES + i * 4, frame.keysLo[i] ?? 0, true)
    view.setUint32(FRAME_HEADER_BYTES + (count + i) * 4, frame.keysHi[i] ?? 0, true)
    const at = FRAME_HEADER_BYTES + count * 8 + (i >> 1)
    bytes[at] = (bytes[at] ?? 0) | (((frame.nibbles[i] ?? 0) & nibbleMask) << ((i & 1) * 4))
  }
  return bytes
}

/** Never throws: anything that is not exactly one frame is `malformed-frame`. */
export function decodeReportFrame(bytes: Uint8Array): DecodedFrame {
  if (bytes.length < FRAME_HEADER_BYTES) return { ok: false, reason: 'malformed-frame' }
  const version = bytes[0] ?? 0
  if (version < PROTOCOL_VERSION_OLDEST || version > PROTOCOL_VERSION) {
    return { ok: false, reason: 'unsupported-version' }
  }
  const kind = KINDS_BY_CODE[bytes[1] ?? 0]
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = view.getUint32(12, true)
  const seq = view.getUint32(8, true)
  const lengthBytes = FRAME_HEADER_BYTES + count * 8 + ((count + 1) >> 1)
  if (!kind || count > FRAME_CHANGES_MAX || seq === 0 || bytes.length !== lengthBytes) {
    return { ok: false, reason: 'malformed-frame' }
  }
  const keysLo = new Uint32Array(count)
  const keysHi = new Uint32Array(count)
  const nibbles = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    keysLo[i] = view.getUint32(FRAME_HEADER_BYTES + i * 4, true)
    keysHi[i] = view.getUint32(FRAME_HEADER_BYTES + (count + i) * 4, true)
    nibbles[i] = ((bytes[FRAME_HEADER_BYTES + count * 8 + (i >> 1)] ?? 0) >> ((i & 1) * 4)) & 15
  }
  const epoch = view.getUint32(4, true)
  const ageMs = version > 1 ? view.getUint16(2, true) : 0
  return { ok: true, frame: { kind, epoch, seq, ageMs, count, keysLo, keysHi, nibbles } }
}
