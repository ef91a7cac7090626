/**
 * A lookup and its answers as one array of bytes each way: structured values cost more of a call than all that the
 * directory does.
 *
 *     u32 length of the header | header: JSON, ASCII, padded to 8 | u32 words of markers, or f64 numbers of answers
 */
import type { LookupAnswer, LookupBatch } from './lookup.ts'

const LENGTH_BYTES = 4
const ALIGNMENT = 8
const CHARS_AT_ONCE = 8192

type Header = Omit<LookupBatch, 'questions' | 'bookings'> & {
  readonly questions: readonly { readonly model: string; readonly words: number }[]
  readonly bookings: readonly (Omit<LookupBatch['bookings'][number], 'markers'> & {
    readonly words: number
  })[]
}

export function encodeBatch(batch: LookupBatch): Uint8Array {
  const { questions, bookings } = batch
  const header: Header = {
    ...batch,
    questions: questions.map(({ model, markers }) => ({ model, words: markers.length })),
    bookings: bookings.map(({ markers, ...note }) => ({ ...note, words: markers.length })),
  }
  const prompts = [...questions, ...bookings].map(({ markers }) => markers)
  const words = prompts.reduce((sum, markers) => sum + markers.length, 0)
  const { bytes, bodyAt } = startWith(header, words * 4)
  const body = new Uint32Array(bytes.buffer, bodyAt, words)
  let at = 0
  for (const markers of prompts) {
    body.set(markers, at)
    at += markers.length
  }
  return bytes
}

/** null for bytes that are no lookup. Only the edge sends them, so their fields are not looked at one by one. */
export function decodeBatch(given: Uint8Array): LookupBatch | null {
  const read = readHeader(given)
  if (read === null) return null
  const { bytes, bodyAt } = read
  const header = read.header as Header
  if (!Array.isArray(header.questions) || !Array.isArray(header.bookings)) return null
  const body = new Uint32Array(bytes.buffer, bytes.byteOffset + bodyAt, (bytes.length - bodyAt) >> 2)
  let at = 0
  const next = (words: number) => {
    at += words
    return body.subarray(at - words, at)
  }
  const questions = header.questions.map(({ model, words }) => ({ model, markers: next(words) }))
  const bookings = header.bookings.map(({ words, ...note }) => ({ ...note, markers: next(words) }))
  return at === body.length ? { ...header, questions, bookings } : null
}

export function encodeAnswer({ numbers, ...header }: LookupAnswer): Uint8Array {
  const { bytes, bodyAt } = startWith(header, numbers.byteLength)
  new Float64Array(bytes.buffer, bodyAt, numbers.length).set(numbers)
  return bytes
}

/** null for bytes that are no answer. */
export function decodeAnswer(given: Uint8Array): LookupAnswer | null {
  const read = readHeader(given)
  if (read === null) return null
  const { header, bytes, bodyAt } = read
  return {
    ...(header as Omit<LookupAnswer, 'numbers'>),
    numbers: new Float64Array(bytes.buffer, bytes.byteOffset + bodyAt, (bytes.length - bodyAt) >> 3),
  }
}

function startWith(header: object, bodyBytes: number): { bytes: Uint8Array; bodyAt: number } {
  // One byte a character: what is not ASCII is escaped.
  const text = JSON.stringify(header).replaceAll(
    /[^\0-\x7f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  const bodyAt = Math.ceil((LENGTH_BYTES + text.length) / ALIGNMENT) * ALIGNMENT
  const bytes = new Uint8Array(bodyAt + bodyBytes)
  new DataView(bytes.buffer).setUint32(0, text.length, true)
  for (let i = 0; i < text.length; i++) bytes[LENGTH_BYTES + i] = text.charCodeAt(i)
  return { bytes, bodyAt }
}

function readHeader(given: Uint8Array): { header: object; bytes: Uint8Array; bodyAt: number } | null {
  if (given.length < LENGTH_BYTES) return null
  // Views of words and numbers need an aligned start.
  const bytes = given.byteOffset % ALIGNMENT === 0 ? given : given.slice()
  const chars = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
  const bodyAt = Math.ceil((LENGTH_BYTES + chars) / ALIGNMENT) * ALIGNMENT
  if (bodyAt > bytes.length) return null
  let text = ''
  for (let at = LENGTH_BYTES; at < LENGTH_BYTES + chars; at += CHARS_AT_ONCE) {
    const end = Math.min(at + CHARS_AT_ONCE, LENGTH_BYTES + chars)
    text += String.fromCharCode(...bytes.subarray(at, end))
  }
  try {
    const header: unknown = JSON.parse(text)
    return typeof header === 'object' && header !== null ? { header, bytes, bodyAt } : null
  } catch {
    return null
  }
}
