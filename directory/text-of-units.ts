/** The string of code units (`protocol/code-units.ts`), made by the platform; also the edge's way to ask. */
import { Buffer } from 'node:buffer'

type Slices = Readonly<{ toString(encoding: 'utf16le', start: number, end: number): string }>

/** Writers use one array again and again: its buffer is wrapped once. */
const wrapped = new WeakMap<ArrayBufferLike, Slices>()

export function textOfUnits({ buffer, byteOffset, byteLength }: Uint16Array): string {
  const bytes = wrapped.get(buffer) ?? Buffer.from(buffer, 0, buffer.byteLength)
  wrapped.set(buffer, bytes)
  return bytes.toString('utf16le', byteOffset, byteOffset + byteLength)
}
