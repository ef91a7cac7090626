/** Objects that did not answer a moment ago and are left alone until then. */
export class Outages {
  readonly #untilMs = new Map<number, number>()

  note(shard: number, untilMs: number): void {
    this.#untilMs.set(shard, untilMs)
  }

  isOut(shard: number, nowMs: number): boolean {
    return nowMs < (this.#untilMs.get(shard) ?? 0)
  }
}
