/** Finds stop strings in text that arrives in pieces, and holds back what could still become one. */

export class StopText {
  private readonly stops: readonly string[]
  private readonly holdMax: number
  private held = ''

  constructor(stops: readonly string[]) {
    this.stops = stops
    this.holdMax = Math.max(0, ...stops.map(({ length }) => length - 1))
  }

  /** Text that is safe to say after one more piece, and the stop string where one is complete. */
  push(piece: string, isLast: boolean): { readonly text: string; readonly stop: string | null } {
    if (this.stops.length === 0) return { text: piece, stop: null }
    const text = this.held + piece
    let at = -1
    let found: string | null = null
    for (const stop of this.stops) {
      const index = text.indexOf(stop)
      if (index >= 0 && (at < 0 || index < at)) {
        at = index
        found = stop
      }
    }
    if (found !== null) return { text: text.slice(0, at), stop: found }
    const said = isLast ? text.length : Math.max(text.length - this.holdMax, 0)
    this.held = text.slice(said)
    return { text: text.slice(0, said), stop: null }
  }
}
