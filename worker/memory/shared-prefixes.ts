/**
 * Prefixes that prompts of this isolate have found resident, to tell those that many share from those of one conversation: a
 * conversation finds each of its turns once, and then a deeper one. What was not found for long is forgotten first.
 */
import { markerKeyNumber } from '../../core/key-number.ts'

const PREFIXES_MAX = 4096

export class SharedPrefixes {
  readonly #found = new Set<number>()

  /** Whether a prompt before this one ended its match at the marker that lies at `bytes`. */
  isShared(markers: Uint32Array, bytes: number): boolean {
    const key = keyAt(markers, bytes)
    return key !== null && this.#found.has(key)
  }

  /** A prompt went its way, and the deepest of its markers that is resident anywhere lies at `bytes`. */
  note(markers: Uint32Array, bytes: number): void {
    const key = keyAt(markers, bytes)
    if (key === null) return
    // Entered anew, so that the order is that of use.
    this.#found.delete(key)
    this.#found.add(key)
    if (this.#found.size <= PREFIXES_MAX) return
    const oldest = this.#found.keys().next()
    if (!oldest.done) this.#found.delete(oldest.value)
  }
}

function keyAt(markers: Uint32Array, bytes: number): number | null {
  if (bytes === 0) return null
  for (let marker = markers.length - 3; marker >= 0; marker -= 3)
    if (markers[marker] === bytes) return markerKeyNumber(markers, marker)
  return null
}
