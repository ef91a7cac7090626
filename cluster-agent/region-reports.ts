/** The reports to one region's directory: asks the edge how it is divided, and drives a stream to each shard. */
import type { Logger } from 'pino'
import { layoutTag } from '../core/shards.ts'
import { REPORT_PATH, type Heartbeat, type Hello } from '../protocol/report.ts'
import { SINGLE_SHARD, type ShardLayout } from '../protocol/shard-layout.ts'
import { askLayout, type LayoutQuestion } from './directory-layout.ts'
import { DirectoryStream } from './directory-stream.ts'
import { Divisions, LAYOUT_INTERVAL_MS, LAYOUT_RETRY_MS, type MarkerChange } from './report/divisions.ts'
import { OutcomeQueue } from './report/outcome-queue.ts'

export interface RegionReportsOptions extends LayoutQuestion {
  readonly hello: () => Omit<Hello, 'type' | 'v' | 'epoch'>
  readonly snapshot: () => MarkerChange[]
  readonly log: Logger
}

export class RegionReports {
  readonly outcomes = new OutcomeQueue()
  readonly #options: RegionReportsOptions
  readonly #divisions = new Divisions((layout, shard) => this.#open(layout, shard))
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
    return this.#divisions.streams
  }

  tick(nowMs: number): void {
    for (const stream of this.streams) stream.drive((machine, at) => machine.tick(at))
    for (const stream of this.#divisions.expire(nowMs)) stream.stop()
    if (nowMs >= this.#askMs && !this.#isAsking) void this.#refreshLayout(nowMs)
  }

  push(changes: readonly MarkerChange[], ageMs: number): void {
    for (const [stream, own] of this.#divisions.share(changes)) {
      stream.drive((machine, nowMs) => machine.push(own, ageMs, nowMs))
    }
  }

  heartbeat(load: Pick<Heartbeat, 'loads' | 'draining'>): void {
    for (const stream of this.streams) stream.drive((machine, nowMs) => machine.heartbeat(load, nowMs))
  }

  /** Says goodbye for good. */
  stop(): void {
    this.#isStopped = true
    for (const stream of this.streams) stream.stop()
  }

  async #refreshLayout(nowMs: number): Promise<void> {
    this.#isAsking = true
    const answer = await askLayout(this.#options)
    this.#isAsking = false
    if (this.#isStopped) return
    const { current } = this.#divisions
    const isReached = current.some(({ state }) => state !== 'connecting')
    this.#askMs = nowMs + (answer !== null && isReached ? LAYOUT_INTERVAL_MS : LAYOUT_RETRY_MS)
    // An edge that does not answer is dialled all the same: the streams have the patience for it.
    const layout = answer ?? (current.length === 0 ? SINGLE_SHARD : null)
    if (layout === null) return
    for (const stream of this.#divisions.adopt(layout, performance.now())) {
      stream.drive((machine, at) => machine.tick(at))
    }
  }

  #open(layout: ShardLayout, shard: number): DirectoryStream {
    const { region, url, cluster, log } = this.#options
    const tag = layoutTag(layout)
    const address = new URL(`${url.replace(/\/$/, '')}${REPORT_PATH}/${region}`)
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
    address.searchParams.set('cluster', cluster)
    if (layout.shards > 1) {
      address.searchParams.set('layout', tag)
      address.searchParams.set('shard', String(shard))
      log.info({ directory: region, layout: tag, shard }, 'a stream is opened to a shard')
    }
    return new DirectoryStream({
      ...this.#options,
      name: layout.shards > 1 ? `${region}.${tag}.${shard}` : region,
      url: address.href,
      snapshot: () => this.#divisions.own(layout, shard, this.#options.snapshot()),
      outcomes: shard === 0 ? this.outcomes : null,
      random: Math.random,
    })
  }
}
