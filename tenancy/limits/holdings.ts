/**
 * What of a tenant's limits is promised: leases that isolates hold, and requests under way. A lease's own amounts shrink as
 * its requests are reported, so that nothing is held twice. Sums are kept, not counted.
 */
import type { Admitted } from '../../protocol/tenancy.ts'

/**
 * How long after its end a lease's unreported rest is held. An isolate reports within seconds; one that died took its
 * connections along, and what those cost comes as outcomes.
 */
export const LEASE_HOLD_MS = 60_000
/** How long an outcome is waited for before its request counts as lost. */
export const SETTLE_MS_MAX = 30 * 60_000
/** More requests under way than this: the oldest count as lost. */
export const UNDER_WAY_MAX = 20_000

export interface HeldLease {
  readonly lease: string
  readonly requests: number
  readonly tokens: number
  readonly nanoUsd: number
  readonly slots: number
  readonly expiresMs: number
}

export interface UnderWay extends Admitted {
  readonly sinceMs: number
  /** The report that brought it, by which it is stored. */
  readonly batch: number
}

interface LiveLease {
  held: HeldLease
  /** Its requests that still run: they take its slots while it lives, and places of their own after. */
  running: Set<string>
  isExpired: boolean
}

export class Holdings {
  readonly #leases = new Map<string, LiveLease>()
  readonly #underWay = new Map<string, UnderWay>()
  /** Requests that run under no living lease. */
  readonly #uncovered = new Set<string>()
  #nanoUsd = 0
  #slots = 0

  get nanoUsd(): number {
    return this.#nanoUsd
  }

  /** Places taken: slots of living leases and requests under none. */
  get places(): number {
    return this.#slots + this.#uncovered.size
  }

  get leaseCount(): number {
    return this.#leases.size
  }

  get underWayCount(): number {
    return this.#underWay.size
  }

  find(requestId: string): UnderWay | undefined {
    return this.#underWay.get(requestId)
  }

  grant(held: HeldLease): void {
    this.#leases.set(held.lease, { held, running: new Set(), isExpired: false })
    this.#nanoUsd += held.nanoUsd
    this.#slots += held.slots
  }

  /** Moves what a request set aside out of its lease. Gives the lease as it is then, null when it is gone. */
  admit(request: UnderWay): HeldLease | null {
    const lease = request.lease === null ? undefined : this.#leases.get(request.lease)
    this.#underWay.set(request.requestId, request)
    this.#nanoUsd += request.nanoUsd
    if (lease && !lease.isExpired) lease.running.add(request.requestId)
    else this.#uncovered.add(request.requestId)
    return lease ? this.#shrink(lease, request) : null
  }

  /** A request of a lease that is already settled: its part of the lease is free. */
  consume(request: Admitted): HeldLease | null {
    const lease = request.lease === null ? undefined : this.#leases.get(request.lease)
    return lease ? this.#shrink(lease, request) : null
  }

  /** The request takes no place any more. */
  end(requestId: string): void {
    const request = this.#underWay.get(requestId)
    this.#uncovered.delete(requestId)
    if (request?.lease) this.#leases.get(request.lease)?.running.delete(requestId)
  }

  settle(requestId: string): UnderWay | undefined {
    const request = this.#underWay.get(requestId)
    if (!request) return undefined
    this.end(requestId)
    this.#underWay.delete(requestId)
    this.#nanoUsd -= request.nanoUsd
    return request
  }

  /** Gives a lease up; what was left of it is returned. */
  close(leaseId: string): HeldLease | null {
    const lease = this.#leases.get(leaseId)
    if (!lease) return null
    this.#expire(lease)
    this.#leases.delete(leaseId)
    this.#nanoUsd -= lease.held.nanoUsd
    return lease.held
  }

  /** Ends what is overdue: gives the leases whose rest is free and the requests that count as lost. */
  sweep(nowMs: number): { leases: HeldLease[]; lost: UnderWay[] } {
    const leases: HeldLease[] = []
    for (const [id, lease] of this.#leases) {
      if (nowMs < lease.held.expiresMs) continue
      this.#expire(lease)
      if (nowMs < lease.held.expiresMs + LEASE_HOLD_MS) continue
      const held = this.close(id)
      if (held) leases.push(held)
    }
    const lost: UnderWay[] = []
    for (const request of this.#underWay.values()) {
      const isOverdue = nowMs >= request.sinceMs + SETTLE_MS_MAX
      if (!isOverdue && this.#underWay.size <= UNDER_WAY_MAX) break
      this.settle(request.requestId)
      lost.push(request)
    }
    return { leases, lost }
  }

  /** When something will be overdue; null when nothing is held. */
  nextDueMs(): number | null {
    const due = [...this.#leases.values()].map(({ held }) => held.expiresMs + LEASE_HOLD_MS)
    const oldest = this.#underWay.values().next()
    if (!oldest.done) due.push(oldest.value.sinceMs + SETTLE_MS_MAX)
    return due.length === 0 ? null : Math.min(...due)
  }

  #shrink(lease: LiveLease, { tokens, nanoUsd }: Admitted): HeldLease {
    const { held } = lease
    const left = Math.max(0, held.nanoUsd - nanoUsd)
    this.#nanoUsd += left - held.nanoUsd
    lease.held = {
      ...held,
      requests: Math.max(0, held.requests - 1),
      tokens: Math.max(0, held.tokens - tokens),
      nanoUsd: left,
    }
    return lease.held
  }

  #expire(lease: LiveLease): void {
    if (lease.isExpired) return
    lease.isExpired = true
    this.#slots -= lease.held.slots
    for (const requestId of lease.running) this.#uncovered.add(requestId)
    lease.running.clear()
  }
}
