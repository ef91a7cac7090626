/** A table of a report, as data. */

export interface Table {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** What a reader must know of it. */
  readonly note?: string
}
