/**
 * Which columns of which epoch still count. Clearing a column opens a new epoch in which all columns count again; in every
 * older one that column does not. Epochs are a ring of 32: one is used again only after a pass of the sweep has seen
 * every slot since.
 */
export const EPOCHS = 32

export class ColumnEpochs {
  /** Two words an epoch: the nibbles of eight columns each that count. */
  readonly #valid = new Uint32Array(EPOCHS * 2).fill(0xffffffff)
  #current = 0
  /** Epochs before the current one of which slots may be left. */
  #older = 0
  /** The same at the beginning of the pass under way: so many of them the pass will have seen off. */
  #atPassBegin = 0

  get current(): number {
    return this.#current
  }

  /** Whether slots of older epochs may be left. */
  get isUntidy(): boolean {
    return this.#older > 0
  }

  /** Whether no epoch is free. */
  get isFull(): boolean {
    return this.#older >= EPOCHS - 1
  }

  /** The nibbles that count in `epoch`, of columns 0-7 (`half` 0) or 8-15 (1). */
  valid(epoch: number, half: number): number {
    return this.#valid[epoch * 2 + half] as number
  }

  clear(column: number): void {
    const half = column >>> 3
    const mask = ~(15 << ((column & 7) * 4))
    for (let at = half; at < EPOCHS * 2; at += 2) this.#valid[at] = (this.#valid[at] as number) & mask
    this.#current = (this.#current + 1) % EPOCHS
    this.#valid.fill(0xffffffff, this.#current * 2, this.#current * 2 + 2)
    this.#older++
  }

  beginPass(): void {
    this.#atPassBegin = this.#older
  }

  /** Every slot has been brought to an epoch that was current during the pass. */
  endPass(): void {
    this.#older -= this.#atPassBegin
    this.#atPassBegin = 0
  }
}
