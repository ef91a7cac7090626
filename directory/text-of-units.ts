/** Strings of code units (`protocol/code-units.ts`), made and read by the platform; also the edge's way to ask. */
import { Buffer } from 'node:buffer'
import type { Units, UnitsOf } from '../protocol/code-units.ts'

const UNITS_AT_FIRST = 4096

/** Writers use one array again and again: its memory is wrapped once. */
const wrapped = new WeakMap<Uint16Array, ReturnType<typeof Buffer.from>>()

export function textOfUnits({ array, length }: Units): string {
  let bytes = wrapped.get(array)
  if (!bytes) {
    bytes = Buffer.from(array.buffer, array.byteOffset, array.byteLength)
    wrapped.set(array, bytes)
  }
  return bytes.toString('utf16le', 0, 2 * length)
}

let scratch = new Uint16Array(UNITS_AT_FIRST)
let scratchBytes = Buffer.from(scratch.buffer)

export const unitsOfText: UnitsOf = (text) => {
  if (text.length > scratch.length) {
    scratch = new Uint16Array(2 * text.length)
    scratchBytes = Buffer.from(scratch.buffer)
  }
  scratchBytes.write(text, 'utf16le')
  return scratch
}
