/** Markers as text, for the envelope header: base64url of little-endian words. Pure code has no `btoa`. */
import type { Markers } from './prefix-markers.ts'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const VALUES = new Int16Array(128).fill(-1)
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i

const BYTES_PER_MARKER = 12
const CHARS_PER_MARKER = 16

export function markersToText(markers: Markers): string {
  let text = ''
  for (let at = 0; at + 2 < markers.length; at += 3) {
    for (let byte = 0; byte < BYTES_PER_MARKER; byte += 3) {
      const bits =
        (byteAt(markers, at, byte) << 16) |
        (byteAt(markers, at, byte + 1) << 8) |
        byteAt(markers, at, byte + 2)
      text += charAt(bits >> 18) + charAt(bits >> 12) + charAt(bits >> 6) + charAt(bits)
    }
  }
  return text
}

/** null when `text` is no list of markers with rising offsets. */
export function markersFromText(text: string): Markers | null {
  if (text.length % CHARS_PER_MARKER !== 0) return null
  const bytes = new Uint8Array((text.length / 4) * 3)
  for (let at = 0, to = 0; at < text.length; at += 4, to += 3) {
    const a = valueAt(text, at)
    const b = valueAt(text, at + 1)
    const c = valueAt(text, at + 2)
    const d = valueAt(text, at + 3)
    if ((a | b | c | d) < 0) return null
    const bits = (a << 18) | (b << 12) | (c << 6) | d
    bytes[to] = bits >> 16
    bytes[to + 1] = bits >> 8
    bytes[to + 2] = bits
  }
  const view = new DataView(bytes.buffer)
  const markers = new Uint32Array(bytes.length / 4)
  for (let i = 0; i < markers.length; i++) markers[i] = view.getUint32(i * 4, true)
  for (let at = 3; at < markers.length; at += 3) {
    if ((markers[at] as number) <= (markers[at - 3] as number)) return null
  }
  return markers
}

function byteAt(markers: Markers, at: number, byte: number): number {
  return ((markers[at + (byte >> 2)] as number) >>> ((byte & 3) * 8)) & 0xff
}

function charAt(bits: number): string {
  return ALPHABET[bits & 63] as string
}

function valueAt(text: string, at: number): number {
  return VALUES[text.charCodeAt(at)] ?? -1
}
