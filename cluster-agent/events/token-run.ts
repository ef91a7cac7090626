/** The tokens of a run, which are most of what events have to say: a loop of its own, without calls for the usual forms. */
import { UNUSUAL, type MsgpackCursor } from './msgpack-cursor.ts'

const TOKEN_MAX = 2 ** 31 - 1
const TOKEN_BYTES_MAX = 5
/** No value begins with this. */
const UNKNOWN = 0xc1
/** One number of one byte; one, two and four bytes have the marks that follow each other. */
const UINT_8 = 0xcc
const PAIR = 0x92

/** Reads `count` tokens to `tokens` from `from` on, which has room for them. */
export function readTokens(cursor: MsgpackCursor, tokens: Int32Array, from: number, count: number): void {
  const { bytes } = cursor
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  // Where so many bytes are left no usual form of a number reaches beyond the end.
  const lastAt = bytes.length - TOKEN_BYTES_MAX
  let { at } = cursor
  let seen = 0
  for (let to = from; to < from + count; to++) {
    const first = at <= lastAt ? (bytes[at] as number) : UNKNOWN
    const width = (first - UINT_8) >>> 0
    if (width <= 2) {
      // Without a branch for each form: nothing foretells which one comes.
      const token = view.getUint32(at + 1) >>> (32 - (8 << width))
      tokens[to] = token
      seen |= token
      at += (1 << width) + 1
    } else if (first < 0x80) {
      tokens[to] = first
      at++
    } else {
      cursor.at = at
      // SGLang's pairs: the second is the next one's first.
      const isPair = cursor.peek() === PAIR
      if (isPair) cursor.at++
      const token = cursor.uint()
      if (isPair) cursor.skip()
      if (token > TOKEN_MAX) throw UNUSUAL
      tokens[to] = token
      at = cursor.at
    }
  }
  // One above `TOKEN_MAX` has the sign set.
  if (seen < 0) throw UNUSUAL
  cursor.at = at
}
