/**
 * Which clusters fail, as this isolate has seen it. After some failures in a row a cluster is left alone for a while that
 * doubles; then one request tries it. Only faults count: an overloaded cluster that says so is well.
 */

/** Failures in a row that open the breaker. */
export const BREAKER_FAILURES = 3
const OPEN_MS_FIRST = 1000
const OPEN_MS_MAX = 8000
/** A probe that has not ended after this long no longer keeps others away. */
const PROBE_MS_MAX = 15_000

interface Circuit {
  failures: number
  openMs: number
  openUntilMs: number
  probeUntilMs: number
}

/** Who else hears how clusters serve. */
export interface BreakerAudience {
  success(cluster: string): void
  failure(cluster: string): void
}

const NOBODY: BreakerAudience = { success: () => undefined, failure: () => undefined }

export class Breaker {
  readonly #audience: BreakerAudience
  readonly #circuits = new Map<string, Circuit>()

  constructor(audience: BreakerAudience = NOBODY) {
    this.#audience = audience
  }

  /** Whether requests should keep away: open, or half open with a probe under way. */
  isOpen(cluster: string, nowMs: number): boolean {
    const circuit = this.#circuits.get(cluster)
    if (!circuit || circuit.failures < BREAKER_FAILURES) return false
    return nowMs < circuit.openUntilMs || nowMs < circuit.probeUntilMs
  }

  /** A request goes there now; on a half-open circuit it is the probe. */
  begin(cluster: string, nowMs: number): void {
    const circuit = this.#circuits.get(cluster)
    if (circuit && circuit.failures >= BREAKER_FAILURES) circuit.probeUntilMs = nowMs + PROBE_MS_MAX
  }

  succeed(cluster: string): void {
    this.#circuits.delete(cluster)
    this.#audience.success(cluster)
  }

  /** The request came to nothing for reasons that say nothing of the cluster: a lost client, say. */
  abandon(cluster: string): void {
    const circuit = this.#circuits.get(cluster)
    if (circuit) circuit.probeUntilMs = 0
  }

  fail(cluster: string, nowMs: number): void {
    this.#audience.failure(cluster)
    const circuit = this.#circuits.get(cluster) ?? {
      failures: 0,
      openMs: OPEN_MS_FIRST / 2,
      openUntilMs: 0,
      probeUntilMs: 0,
    }
    this.#circuits.set(cluster, circuit)
    circuit.failures++
    circuit.probeUntilMs = 0
    // Requests that were under way when it opened do not double the wait again.
    if (circuit.failures < BREAKER_FAILURES || nowMs < circuit.openUntilMs) return
    circuit.openMs = Math.min(circuit.openMs * 2, OPEN_MS_MAX)
    circuit.openUntilMs = nowMs + circuit.openMs
  }
}
