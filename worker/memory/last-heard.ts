/** When each cluster last answered this isolate anything: while it does, its path works and nobody needs to ask. */

export class LastHeard {
  readonly #atMs = new Map<string, number>()

  /** Clusters are those of the configuration, so the map is as small. */
  hear(cluster: string, nowMs: number): void {
    this.#atMs.set(cluster, nowMs)
  }

  isWithin(cluster: string, ageMs: number, nowMs: number): boolean {
    const atMs = this.#atMs.get(cluster)
    return atMs !== undefined && nowMs - atMs <= ageMs
  }
}
