/**
 * Reads msgpack where it lies (https://github.com/msgpack/msgpack/blob/master/spec.md), for the shapes that KV events have.
 * Whatever else it meets it throws `UNUSUAL` at: then the general decoder has the word.
 */

/** Thrown, never seen outside: the bytes are not of the usual shape, or no msgpack at all. */
export const UNUSUAL = new Error('unusual msgpack')

const DEPTH_MAX = 8
const NIL = 0xc0
/** What stands before a whole number of 8 bytes, and before bytes and their count. */
export const UINT_64 = 0xcf
export const INT_64 = 0xd3
export const BIN_8 = 0xc4

export class MsgpackCursor {
  bytes = new Uint8Array(0)
  at = 0

  open(bytes: Uint8Array): void {
    this.bytes = bytes as Uint8Array<ArrayBuffer>
    this.at = 0
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length
  }

  peek(): number {
    return this.bytes[this.at] ?? 0xc1
  }

  /** True when the next value is nil, which is then read. */
  takeNil(): boolean {
    if (this.bytes[this.at] !== NIL) return false
    this.at++
    return true
  }

  arrayLength(): number {
    const first = this.bytes[this.at++] ?? 0xc1
    if (first >>> 4 === 0x9) return first & 0x0f
    if (first === 0xdc) return this.#uint(2)
    if (first === 0xdd) return this.#count()
    throw UNUSUAL
  }

  mapLength(): number {
    const first = this.bytes[this.at++] ?? 0xc1
    if (first >>> 4 === 0x8) return first & 0x0f
    if (first === 0xde) return this.#uint(2)
    throw UNUSUAL
  }

  /** An unsigned integer below 2^32. */
  uint(): number {
    const first = this.bytes[this.at++] ?? 0xc1
    if (first < 0x80) return first
    if (first === 0xcc) return this.#uint(1)
    if (first === 0xcd) return this.#uint(2)
    if (first === 0xce) return this.#uint(4)
    throw UNUSUAL
  }

  /** A double or a small whole number; null for what is none. Other forms of numbers are unusual. */
  real(): number | null {
    const first = this.peek()
    if (first === 0xcb) {
      const { buffer, byteOffset } = this.bytes
      const from = this.at + 1
      this.at++
      this.#pass(8)
      return new DataView(buffer, byteOffset + from, 8).getFloat64(0)
    }
    if (first < 0x80 || (first >= 0xcc && first <= 0xce)) return this.uint()
    if (first === 0xca || (first >= 0xd0 && first <= 0xd2)) throw UNUSUAL
    this.skip()
    return null
  }

  /** An integer or a digest, of which the last 8 bytes count, as a pair of words, low word first. */
  hash(into: Int32Array, index: number): void {
    const { bytes } = this
    const first = bytes[this.at] ?? 0xc1
    if (first === UINT_64 || first === INT_64 || first === BIN_8) {
      let at = this.at + 1
      if (first === BIN_8) {
        const length = bytes[at] ?? 0
        if (length < 8) throw UNUSUAL
        at += 1 + length - 8
      }
      if (at + 8 > bytes.length) throw UNUSUAL
      into[index + 1] = wordAt(bytes, at)
      into[index] = wordAt(bytes, at + 4)
      this.at = at + 8
    } else {
      into[index] = this.uint() | 0
      into[index + 1] = 0
    }
  }

  /** Length of the text that comes next, whose bytes then are. */
  textLength(): number {
    const first = this.bytes[this.at++] ?? 0xc1
    const length =
      first >>> 5 === 0x5
        ? first & 0x1f
        : first === 0xd9
          ? this.#uint(1)
          : first === 0xda
            ? this.#uint(2)
            : -1
    if (length < 0 || this.at + length > this.bytes.length) throw UNUSUAL
    return length
  }

  /** Whether the next bytes are this text; they are not read. */
  isText(text: string, length: number): boolean {
    if (length !== text.length) return false
    for (let i = 0; i < length; i++) if (this.bytes[this.at + i] !== text.charCodeAt(i)) return false
    return true
  }

  /** A text of ASCII. `usual` is returned as it is when it is that, without another string being made. */
  text(usual: string): string {
    const length = this.textLength()
    const start = this.at
    if (this.isText(usual, length)) {
      this.at += length
      return usual
    }
    let text = ''
    for (; this.at < start + length; this.at++) {
      const unit = this.bytes[this.at] as number
      if (unit >= 0x80) throw UNUSUAL
      text += String.fromCharCode(unit)
    }
    return text
  }

  /** Any value but maps, extensions and texts that are not ASCII. */
  skip(depth = 0): void {
    const first = this.bytes[this.at++] ?? 0xc1
    if (first < 0x80 || first >= 0xe0 || first === NIL || first === 0xc2 || first === 0xc3) return
    if (first >>> 5 === 0x5) this.#passText(first & 0x1f)
    else if (first >>> 4 === 0x9 || first === 0xdc || first === 0xdd) {
      if (depth === DEPTH_MAX) throw UNUSUAL
      this.at--
      for (let left = this.arrayLength(); left > 0; left--) this.skip(depth + 1)
    } else if (first === 0xc4) this.#pass(this.#uint(1))
    else if (first === 0xd9) this.#passText(this.#uint(1))
    else if (first === 0xda) this.#passText(this.#uint(2))
    else if (first === 0xca) this.#pass(4)
    else if (first === 0xcb) this.#pass(8)
    else if (first >= 0xcc && first <= 0xcf) this.#pass(1 << (first - 0xcc))
    else if (first >= 0xd0 && first <= 0xd3) this.#pass(1 << (first - 0xd0))
    else throw UNUSUAL
  }

  #count(): number {
    const count = this.#uint(4)
    // Each element is at least a byte.
    if (count > this.bytes.length - this.at) throw UNUSUAL
    return count
  }

  #passText(length: number): void {
    const start = this.at
    this.#pass(length)
    for (let at = start; at < this.at; at++) if ((this.bytes[at] as number) >= 0x80) throw UNUSUAL
  }

  #pass(length: number): void {
    this.at += length
    if (this.at > this.bytes.length) throw UNUSUAL
  }

  #uint(width: number): number {
    let value = 0
    if (this.at + width > this.bytes.length) throw UNUSUAL
    for (let i = 0; i < width; i++) value = value * 256 + (this.bytes[this.at++] as number)
    return value
  }
}

/** Four bytes, the highest first, as a number of 32 bits with sign. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}
