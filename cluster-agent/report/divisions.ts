/**
 * The streams to one region's directory: one to each shard. When the edge divides the directory anew, streams of the new
 * layout are opened beside those of the old, which end when edges with the old configuration are surely gone.
 */
import { layoutTag, shardOfMarker } from '../../core/shards.ts'
import type { ShardLayout } from '../../protocol/shard-layout.ts'
import type { MarkerOrigin } from '../ledger/prefix-ledger.ts'
import type { Change } from './epoch-frames.ts'

/** A change, and the prompt through which its marker is known; without one every shard is told. */
export interface MarkerChange extends Change {
  readonly origin: MarkerOrigin | null
}

/** How often the edge is asked for its layout, and how soon again while no shard is reached. */
export const LAYOUT_INTERVAL_MS = 30_000
export const LAYOUT_RETRY_MS = 2000
/** How long streams of an old layout go on. */
export const OLD_LAYOUT_MS = 120_000

interface Division<S> {
  readonly layout: ShardLayout
  readonly tag: string
  readonly streams: readonly S[]
  /** When its streams end; Infinity for the current one. */
  untilMs: number
}

export class Divisions<S> {
  readonly #open: (layout: ShardLayout, shard: number) => S
  readonly #shardOf: typeof shardOfMarker
  #divisions: Division<S>[] = []

  constructor(
    open: (layout: ShardLayout, shard: number) => S,
    shardOf: typeof shardOfMarker = shardOfMarker,
  ) {
    this.#open = open
    this.#shardOf = shardOf
  }

  /** Of all layouts that are served. */
  get streams(): readonly S[] {
    return this.#divisions.flatMap(({ streams }) => streams)
  }

  /** Those of the present layout; empty before the first. */
  get current(): readonly S[] {
    return this.#divisions.at(-1)?.streams ?? []
  }

  /** The layout is the present one from now on. Gives the streams that it opens: none when it was that already. */
  adopt(layout: ShardLayout, nowMs: number): readonly S[] {
    const tag = layoutTag(layout)
    const current = this.#divisions.at(-1)
    if (current?.tag === tag) return []
    if (current) current.untilMs = nowMs + OLD_LAYOUT_MS
    // A layout that comes back is served by its own streams again.
    const known = this.#divisions.find((division) => division.tag === tag)
    const streams =
      known?.streams ?? Array.from({ length: layout.shards }, (_, shard) => this.#open(layout, shard))
    this.#divisions = this.#divisions.filter((division) => division !== known)
    this.#divisions.push({ layout, tag, streams, untilMs: Infinity })
    return known ? [] : streams
  }

  /** Lets go of layouts whose time is over; gives their streams, to be stopped. */
  expire(nowMs: number): readonly S[] {
    const over = this.#divisions.filter(({ untilMs }) => untilMs <= nowMs)
    if (over.length > 0) this.#divisions = this.#divisions.filter((division) => !over.includes(division))
    return over.flatMap(({ streams }) => streams)
  }

  /** What each stream is told of the changes. */
  *share(changes: readonly MarkerChange[]): Generator<readonly [S, readonly Change[]]> {
    for (const { layout, streams } of this.#divisions) {
      for (const [shard, stream] of streams.entries()) yield [stream, this.own(layout, shard, changes)]
    }
  }

  /** The changes that the shard holds. */
  own(layout: ShardLayout, shard: number, changes: readonly MarkerChange[]): readonly Change[] {
    if (layout.shards === 1) return changes
    return changes.filter(({ origin }) => {
      if (origin === null) return true
      const home = this.#shardOf(layout, origin.model, origin.markers, origin.offsetBytes)
      return home === null || home === shard
    })
  }
}
