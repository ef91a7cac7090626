/** The string of code units (`protocol/code-units.ts`), made by the platform. */
import { Buffer } from 'node:buffer'

type Slices = Readonly<{ ucs2Slice(start: number, end: number): string }>

/** Writers use one array again and again: its buffer is wrapped once. */
let wrapped: ArrayBufferLike | null = null
let slices: Slices | null = null

export function textOfUnits({ buffer, byteOffset, byteLength }: Uint16Array): string {
  if (slices === null || wrapped !== buffer) {
    slices = Buffer.from(buffer, 0, buffer.byteLength)
    wrapped = buffer
  }
  return slices.ucs2Slice(byteOffset, byteOffset + byteLength)
}
