/**
 * The reports to one region's directory: a stream to each shard. When the edge divides the directory anew, streams of the
 * new layout are opened beside those of the old, which end when edges with the old configuration are surely gone.
 */
import type { Logger } from 'pino'
import { layoutTag, shardOfMarker } from '../core/shards.ts'
import { REPORT_PATH, type Heartbeat, type Hello } from '../protocol/report.ts'
import { SINGLE_SHARD, type ShardLayout } from '../protocol/shard-layout.ts'
import { askLayout, type LayoutQuestion } from './directory-layout.ts'
import { DirectoryStream } from './directory-stream.ts'
import type { MarkerOrigin } from './ledger/prefix-ledger.ts'
import type { Change } from './report/epoch-frames.ts'
import { OutcomeQueue } from './report/outcome-queue.ts'

/** A change, and the prompt through which its marker is known; without one every shard is told. */
export interface MarkerChange extends Change {
  readonly origin: MarkerOrigin | null
}

export interface RegionReportsOptions extends LayoutQuestion {
  readonly hello: () => Omit<Hello, 'type' | 'v' | 'epoch'>
  readonly snapshot: () => MarkerChange[]
  readonly log: Logger
}

/** How often the edge is asked for its layout, and how soon again while no shard is reached. */
const LAYOUT_INTERVAL_MS = 30_000
const LAYOUT_RETRY_MS = 2000
/** How long streams of an old layout go on. */
const OLD_LAYOUT_MS = 120_000

interface Division {
  readonly layout: ShardLayout
  readonly tag: string
  readonly streams: readonly DirectoryStream[]
  /** When its streams end; Infinity for the current one. */
  untilMs: number
}

export class RegionReports {
  readonly outcomes = new OutcomeQueue()
  readonly #options: RegionReportsOptions
  readonly #divisions: Division[] = []
  #askMs = 0
  #isAsking = false
  #isStopped = false

  constructor(options: RegionReportsOptions) {
    this.#options = options
  }

  get region(): string {
    return this.#options.region
  }

  get streams(): readonly DirectoryStream[] {
    return this.#divisions.flatMap(({ streams }) => streams)
  }

  tick(nowMs: number): void {
    for (const stream of this.streams) stream.drive((machine, at) => machine.tick(at))
    const over = this.#divisions.filter(({ untilMs }) => untilMs <= nowMs)
    for (const division of over) {
      this.#divisions.splice(this.#divisions.indexOf(division), 1)
      for (const stream of division.streams) stream.stop()
    }
    if (nowMs >= this.#askMs && !this.#isAsking) void this.#refreshLayout(nowMs)
  }

  push(changes: readonly MarkerChange[], ageMs: number): void {
    for (const { layout, streams } of this.#divisions) {
      for (const [shard, stream] of streams.entries()) {
        const own = changesOf(layout, shard, changes)
        stream.drive((machine, nowMs) => machine.push(own, ageMs, nowMs))
      }
    }
  }

  heartbeat(load: Pick<Heartbeat, 'loads' | 'draining'>): void {
    for (const stream of this.streams) stream.drive((machine, nowMs) => machine.heartbeat(load, nowMs))
  }

  stop(): void {
    this.#isStopped = true
    for (const stream of this.streams) stream.stop()
  }

  async #refreshLayout(nowMs: number): Promise<void> {
    this.#isAsking = true
    const answer = await askLayout(this.#options)
    this.#isAsking = false
    if (this.#isStopped) return
    const current = this.#divisions.at(-1)
    const isReached = current?.streams.some(({ state }) => state !== 'connecting') ?? false
    this.#askMs = nowMs + (answer !== null && isReached ? LAYOUT_INTERVAL_MS : LAYOUT_RETRY_MS)
    // An edge that does not answer is dialled all the same: the streams have the patience for it.
    const layout = answer ?? (current ? null : SINGLE_SHARD)
    if (layout === null || layoutTag(layout) === current?.tag) return
    if (current) {
      this.#options.log.info(
        { directory: this.region, layout: layoutTag(layout) },
        'directory is divided anew',
      )
      current.untilMs = performance.now() + OLD_LAYOUT_MS
    }
    this.#open(layout)
  }

  #open(layout: ShardLayout): void {
    const tag = layoutTag(layout)
    const { region, url, cluster } = this.#options
    const streams = Array.from({ length: layout.shards }, (_, shard) => {
      const address = new URL(`${url.replace(/\/$/, '')}${REPORT_PATH}/${region}`)
      address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
      address.searchParams.set('cluster', cluster)
      if (layout.shards > 1) {
        address.searchParams.set('layout', tag)
        address.searchParams.set('shard', String(shard))
      }
      return new DirectoryStream({
        ...this.#options,
        name: layout.shards > 1 ? `${region}/${tag}/${shard}` : region,
        url: address.href,
        snapshot: () => changesOf(layout, shard, this.#options.snapshot()),
        outcomes: shard === 0 ? this.outcomes : null,
        random: Math.random,
      })
    })
    this.#divisions.push({ layout, tag, streams, untilMs: Infinity })
    for (const stream of streams) stream.drive((machine, nowMs) => machine.tick(nowMs))
  }
}

function changesOf(layout: ShardLayout, shard: number, changes: readonly MarkerChange[]): readonly Change[] {
  if (layout.shards === 1) return changes
  return changes.filter(({ origin }) => {
    const home =
      origin === null ? null : shardOfMarker(layout, origin.model, origin.markers, origin.offsetBytes)
    return home === null || home === shard
  })
}
