/** What bounds an index, and what it says of itself. */

export interface IndexCounts {
  readonly applied: number
  /** Events that could not be placed: unknown groups and media, sparse runs, hashes that nobody told of. */
  readonly ignored: number
  readonly orphans: number
  /** Blocks that were not entered because the index is full. */
  readonly refused: number
  /** Memory of every table and map. */
  readonly bytes: number
}

export interface IndexBounds {
  readonly blocksMax?: number
  readonly entriesMax?: number
  readonly setsMax?: number
  /** Asked to let go of blocks that it retains when there is no room. */
  readonly makeRoom?: () => void
}
