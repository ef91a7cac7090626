/**
 * Blocks that a prefill engine keeps for a decode engine: each for one pull, until the lease ends. What happens to a
 * wrong pull is what was seen of vLLM: an expired lease is recomputed by the puller, a second pull reads garbage, an
 * unknown request id still reads the blocks that it names.
 */

/** vLLM's `kv_lease_duration`. Wall-clock time of the router's hand-off, so the speed factor does not shorten it. */
export const LEASE_MS = 30_000
/** Request ids of ended leases that are remembered to tell a second pull from a late one. */
const ENDED_MAX = 4096

/** `intact`: the KV of that prompt. `garbage`: other bytes. `gone`: nothing to read, the puller computes. */
export type PullVerdict = 'intact' | 'garbage' | 'gone'

interface Lease {
  readonly blocks: readonly number[]
  readonly seed: number
  endMs: number
  isPulled: boolean
}

/** The leases of one engine, by its internal request id. */
export class LeaseTable {
  private readonly leases = new Map<string, Lease>()
  private readonly ended = new Map<string, 'pulled' | 'expired'>()

  get size(): number {
    return this.leases.size
  }

  /** Earliest end of a lease, or null without any. */
  get nextEndMs(): number | null {
    let earliest: number | null = null
    for (const lease of this.leases.values()) {
      if (earliest === null || lease.endMs < earliest) earliest = lease.endMs
    }
    return earliest
  }

  grant(id: string, blocks: readonly number[], seed: number, nowMs: number): void {
    this.leases.set(id, { blocks, seed, endMs: nowMs + LEASE_MS, isPulled: false })
  }

  /** Judges a pull of `blocks` for the prompt behind `seed`; the first good one uses the lease up. */
  pull(id: string, blocks: readonly number[], seed: number, nowMs: number): PullVerdict {
    const lease = this.leases.get(id)
    if (lease === undefined) return this.judgeUnknown(id, blocks, seed)
    if (lease.isPulled || lease.seed !== seed || !sameBlocks(lease.blocks, blocks)) return 'garbage'
    lease.isPulled = true
    lease.endMs = nowMs + LEASE_MS
    return 'intact'
  }

  /** The puller is alive and still wants its blocks. */
  renew(id: string, nowMs: number): boolean {
    const lease = this.leases.get(id)
    if (lease === undefined) return false
    lease.endMs = nowMs + LEASE_MS
    return true
  }

  /** The puller has what it needs: the blocks to free, or null for an unknown lease. */
  end(id: string): readonly number[] | null {
    const lease = this.leases.get(id)
    if (lease === undefined) return null
    this.leases.delete(id)
    this.remember(id, 'pulled')
    return lease.blocks
  }

  /** Blocks of all leases that have ended by now. */
  expire(nowMs: number): (readonly number[])[] {
    const freed: (readonly number[])[] = []
    for (const [id, lease] of this.leases) {
      if (lease.endMs > nowMs) continue
      this.leases.delete(id)
      this.remember(id, lease.isPulled ? 'pulled' : 'expired')
      freed.push(lease.blocks)
    }
    return freed
  }

  private judgeUnknown(id: string, blocks: readonly number[], seed: number): PullVerdict {
    const past = this.ended.get(id)
    if (past !== undefined) return past === 'expired' ? 'gone' : 'garbage'
    for (const lease of this.leases.values()) {
      if (lease.seed === seed && sameBlocks(lease.blocks, blocks)) return 'intact'
    }
    return 'garbage'
  }

  private remember(id: string, how: 'pulled' | 'expired'): void {
    if (this.ended.size >= ENDED_MAX) {
      const oldest = this.ended.keys().next()
      if (oldest.done !== true) this.ended.delete(oldest.value)
    }
    this.ended.set(id, how)
  }
}

function sameBlocks(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((block, i) => block === b[i])
}
