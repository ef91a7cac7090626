/**
 * What was made of pieces of text, up to a bound of their length; what was not asked for since the last round goes first. A piece
 * is found by its length and a few of its characters and then compared: to hash all of a long text costs more than the look-up.
 */

/** Pieces that length and samples do not tell apart: of more, the oldest gives way. */
const ALIKE_MAX = 8
const SAMPLES = 32

interface Kept<T> {
  readonly text: string
  readonly sample: number
  readonly value: T
  isUsed: boolean
}

export class TextMemory<T> {
  readonly #unitsMax: number
  readonly #bySample = new Map<number, Kept<T>[]>()
  /** In the order in which they may go. */
  readonly #order = new Set<Kept<T>>()
  #units = 0

  /** `unitsMax`: UTF-16 units of all texts together. */
  constructor(unitsMax: number) {
    this.#unitsMax = unitsMax
  }

  get size(): number {
    return this.#order.size
  }

  find(text: string): T | null {
    for (const kept of this.#bySample.get(sampleOf(text)) ?? []) {
      if (kept.text !== text) continue
      kept.isUsed = true
      return kept.value
    }
    return null
  }

  /** Of a text that is not there. */
  keep(text: string, value: T): void {
    if (text.length > this.#unitsMax) return
    // A copy: a slice would keep the whole text that it was cut from.
    const kept = { text: ` ${text}`.slice(1), sample: sampleOf(text), value, isUsed: false }
    const alike = this.#bySample.get(kept.sample)
    if (!alike) this.#bySample.set(kept.sample, [kept])
    else {
      const [oldest] = alike
      if (oldest && alike.length >= ALIKE_MAX) this.#drop(oldest)
      alike.push(kept)
      this.#bySample.set(kept.sample, alike)
    }
    this.#order.add(kept)
    this.#units += text.length
    this.#makeRoom()
  }

  #makeRoom(): void {
    // Each is passed over once at most.
    for (const kept of this.#order) {
      if (this.#units <= this.#unitsMax) return
      if (!kept.isUsed) this.#drop(kept)
      else {
        kept.isUsed = false
        this.#order.delete(kept)
        this.#order.add(kept)
      }
    }
  }

  #drop(kept: Kept<T>): void {
    this.#order.delete(kept)
    this.#units -= kept.text.length
    const alike = this.#bySample.get(kept.sample)
    alike?.splice(alike.indexOf(kept), 1)
    if (alike?.length === 0) this.#bySample.delete(kept.sample)
  }
}

function sampleOf(text: string): number {
  const step = Math.max(Math.floor(text.length / SAMPLES), 1)
  let sample = text.length
  for (let at = text.length - 1; at >= 0; at -= step)
    sample = Math.imul(sample ^ text.charCodeAt(at), 0x85ebca6b) ^ (sample >>> 15)
  return sample | 0
}
