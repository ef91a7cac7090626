/**
 * Which clusters fail for everybody, from what edges say with their lookups: the circuit breakers of the isolates share
 * here what each would have to find out by failing. A hint is short: it ends by a success or soon after the last failure.
 */
/** Failures in a row, whoever saw them, from which on a cluster is said to fail. */
export const FAILURES_MIN = 3
export const HINT_MS_MAX = 2000
/** Clusters watched: more than there are columns, since edges may name what has no stream. */
const CLUSTERS_WATCHED_MAX = 64

interface Run {
  failures: number
  lastMs: number
}

export class FailureWatch {
  readonly #runs = new Map<string, Run>()

  note(cluster: string, successes: number, failures: number, nowMs: number): void {
    if (successes > 0) this.#runs.delete(cluster)
    if (!(failures > 0)) return
    const run = this.#runs.get(cluster) ?? { failures: 0, lastMs: nowMs }
    if (nowMs - run.lastMs > HINT_MS_MAX) run.failures = 0
    run.failures += failures
    run.lastMs = nowMs
    if (this.#runs.has(cluster) || this.#runs.size < CLUSTERS_WATCHED_MAX) this.#runs.set(cluster, run)
  }

  isFailing(cluster: string, nowMs: number): boolean {
    const run = this.#runs.get(cluster)
    return run !== undefined && run.failures >= FAILURES_MIN && nowMs - run.lastMs <= HINT_MS_MAX
  }
}
