/**
 * Numbers and names in the UTF-16 code units of a string. A string crosses a call of an object for less than an array of
 * bytes: the receiver's copy lies on the heap of the engine and not in a buffer of its own (`npm run bench -- directory`).
 * Such a string is no text: its units are any 16 bits.
 */
const UNITS_AT_FIRST = 1024
/** The longest name: its length is one unit. */
const NAME_UNITS_MAX = 0xffff

const DOUBLE = new Float64Array(1)
const DOUBLE_UNITS = new Uint16Array(DOUBLE.buffer)

/** Writes into one array that it uses again and again. */
export class UnitWriter {
  #units = new Uint16Array(UNITS_AT_FIRST)
  #length = 0

  /** Begins anew. */
  restart(): this {
    this.#length = 0
    return this
  }

  /** What was written; valid until the next restart. */
  get units(): Uint16Array {
    return this.#units.subarray(0, this.#length)
  }

  u16(value: number): void {
    if (this.#length === this.#units.length) this.#reserve(1)
    this.#units[this.#length++] = value
  }

  /** A whole number from 0 to 2^32 - 1. */
  u32(value: number): void {
    if (this.#length + 2 > this.#units.length) this.#reserve(2)
    this.#units[this.#length++] = value
    this.#units[this.#length++] = value >>> 16
  }

  f64(value: number): void {
    if (this.#length + 4 > this.#units.length) this.#reserve(4)
    DOUBLE[0] = value
    this.#units.set(DOUBLE_UNITS, this.#length)
    this.#length += 4
  }

  words(words: Uint32Array): void {
    if (this.#length + words.length * 2 > this.#units.length) this.#reserve(words.length * 2)
    const units = this.#units
    let at = this.#length
    for (let i = 0; i < words.length; i++) {
      const word = words[i] as number
      units[at++] = word
      units[at++] = word >>> 16
    }
    this.#length = at
  }

  /** A name, cut to what its length can say. */
  name(name: string): void {
    const length = Math.min(name.length, NAME_UNITS_MAX)
    this.u16(length)
    this.#chars(name, length)
  }

  /** A string of any length. */
  text(text: string): void {
    this.u32(text.length)
    this.#chars(text, text.length)
  }

  #chars(text: string, length: number): void {
    if (this.#length + length > this.#units.length) this.#reserve(length)
    for (let i = 0; i < length; i++) this.#units[this.#length++] = text.charCodeAt(i)
  }

  #reserve(more: number): void {
    const larger = new Uint16Array(Math.max(this.#units.length * 2, this.#length + more))
    larger.set(this.#units)
    this.#units = larger
  }
}

/** Reads what `UnitWriter` wrote. Beyond the end everything is 0 or empty, and `isShort` says so. */
export class UnitReader {
  readonly #text: string
  #at: number
  isShort = false

  constructor(text: string, at = 0) {
    this.#text = text
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  /** Whether everything was read, and no more than that. */
  get isAtEnd(): boolean {
    return !this.isShort && this.#at === this.#text.length
  }

  u16(): number {
    return this.#take(1) ? this.#text.charCodeAt(this.#at - 1) : 0
  }

  u32(): number {
    if (!this.#take(2)) return 0
    return (this.#text.charCodeAt(this.#at - 2) | (this.#text.charCodeAt(this.#at - 1) << 16)) >>> 0
  }

  f64(): number {
    if (!this.#take(4)) return 0
    for (let i = 0; i < 4; i++) DOUBLE_UNITS[i] = this.#text.charCodeAt(this.#at - 4 + i)
    return DOUBLE[0] as number
  }

  /** Fills `words`; false when there are fewer. */
  words(words: Uint32Array): boolean {
    if (!this.#take(words.length * 2)) return false
    const text = this.#text
    let at = this.#at - words.length * 2
    for (let i = 0; i < words.length; i++) {
      words[i] = text.charCodeAt(at) | (text.charCodeAt(at + 1) << 16)
      at += 2
    }
    return true
  }

  name(): string {
    return this.#chars(this.u16())
  }

  text(): string {
    return this.#chars(this.u32())
  }

  #chars(length: number): string {
    return this.#take(length) ? this.#text.slice(this.#at - length, this.#at) : ''
  }

  #take(units: number): boolean {
    if (this.isShort || this.#at + units > this.#text.length) this.isShort = true
    else this.#at += units
    return !this.isShort
  }
}

/** The string of the units, for places without a platform: those that have one are ten times faster. */
export function unitsToText(units: Uint16Array): string {
  let text = ''
  for (const unit of units) text += String.fromCharCode(unit)
  return text
}
