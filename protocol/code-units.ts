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

/** The first `length` units of `array`. */
export interface Units {
  readonly array: Uint16Array
  readonly length: number
}

/** Writes into one array that it uses again and again: what was written is valid until the next restart. */
export class UnitWriter implements Units {
  #units = new Uint16Array(UNITS_AT_FIRST)
  #length = 0

  /** Begins anew. */
  restart(): this {
    this.#length = 0
    return this
  }

  get array(): Uint16Array {
    return this.#units
  }

  get length(): number {
    return this.#length
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
    for (let i = 0; i < 4; i++) this.#units[this.#length++] = DOUBLE_UNITS[i] as number
  }

  /** Words that a reader may look at where they lie: at an even place. */
  words(words: Uint32Array): void {
    if ((this.#length & 1) === 1) this.u16(0)
    const units = new Uint16Array(words.buffer, words.byteOffset, words.length * 2)
    if (this.#length + units.length > this.#units.length) this.#reserve(units.length)
    this.#units.set(units, this.#length)
    this.#length += units.length
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
    const units = this.#units
    let at = this.#length
    for (let i = 0; i < length; i++) units[at++] = text.charCodeAt(i)
    this.#length = at
  }

  #reserve(more: number): void {
    const larger = new Uint16Array(Math.max(this.#units.length * 2, this.#length + more))
    larger.set(this.#units)
    this.#units = larger
  }
}

/**
 * Reads what `UnitWriter` wrote. Beyond the end everything is 0 or empty, and `isShort` says so. Who reads often keeps one:
 * when a collection of the engine finds no reader alive it lets go of their shape, and with it of all compiled code that
 * reads (V8: "embedded weak objects cleared").
 */
export class UnitReader {
  #text = ''
  #at = 0
  isShort = false

  /** Begins with another string. */
  restart(text: string, at = 0): this {
    this.#text = text
    this.#at = at
    this.isShort = false
    return this
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

  /** Passes over `count` words and says at which unit they begin; where there are fewer it stays. */
  words(count: number): number {
    const begin = this.#at + (this.#at & 1)
    return this.#take(begin - this.#at + 2 * count) ? begin : this.#at
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
export function unitsToText({ array, length }: Units): string {
  let text = ''
  for (let i = 0; i < length; i++) text += String.fromCharCode(array[i] as number)
  return text
}

/** An array that begins with the units of the string, valid until the next call. */
export type UnitsOf = (text: string) => Uint16Array

let scratch = new Uint16Array(UNITS_AT_FIRST)

/** For places without a platform. */
export const unitsOfText: UnitsOf = (text) => {
  if (text.length > scratch.length) scratch = new Uint16Array(text.length)
  for (let i = 0; i < text.length; i++) scratch[i] = text.charCodeAt(i)
  return scratch
}
