/** The clusters that the directory has heard of: at most as many as an entry has nibbles, each with a column of its own. */
import { CLUSTERS_MAX } from '../../protocol/ids.ts'
import type { Hello } from '../../protocol/report.ts'
import { ClusterStream } from './cluster-stream.ts'

/** Silence after which an older incarnation may take a cluster over: 25 heartbeats. */
export const INCUMBENT_SILENCE_MS_MAX = 5000

/** Whether the agent that says `hello` on another connection than the incumbent's may carry the stream from now on. */
export function mayTakeOver(incumbent: ClusterStream, hello: Hello, nowMs: number): boolean {
  return hello.incarnation >= incumbent.incarnation || nowMs - incumbent.heardMs > INCUMBENT_SILENCE_MS_MAX
}

export class ClusterTable {
  readonly #streams = new Map<string, ClusterStream>()

  get all(): Iterable<ClusterStream> {
    return this.#streams.values()
  }

  get(cluster: string): ClusterStream | null {
    return this.#streams.get(cluster) ?? null
  }

  /** The stream of the cluster if `connection` is the one that carries it. */
  carriedBy(connection: string, cluster: string): ClusterStream | null {
    const stream = this.#streams.get(cluster)
    return stream?.connection === connection ? stream : null
  }

  /** null when all columns are taken by clusters that are connected or still believed. */
  open(cluster: string, nowMs: number): ClusterStream | null {
    const known = this.#streams.get(cluster)
    if (known) return known
    const column = this.#freeColumn()
    if (column === null) return null
    const stream = new ClusterStream(cluster, column, nowMs)
    this.#streams.set(cluster, stream)
    return stream
  }

  #freeColumn(): number | null {
    const streams = [...this.#streams.values()]
    const taken = new Set(streams.map(({ column }) => column))
    for (let column = 0; column < CLUSTERS_MAX; column++) if (!taken.has(column)) return column
    const leftover = streams.find(
      ({ state, connection }) => (state === 'absent' || state === 'gone') && connection === null,
    )
    if (!leftover) return null
    this.#streams.delete(leftover.cluster)
    return leftover.column
  }
}
