/**
 * Requests of one priority band. Tenants share it by predicted GPU milliseconds (start-time fair queueing: the tenant that
 * was served least goes next; who was away does not save up): while two tenants wait, what they were served differs by
 * less than the largest requests of both.
 */
import { orderMs, type Waiting } from './waiting.ts'

/** Requests of one tenant that are looked at for one that fits. */
const SCAN_MAX = 16
/** What the request that has waited longest is owed of the work of its tenant that passes it: none starves. */
export const OLDEST_SHARE = 0.1

interface Flow {
  /** In the order in which they go. */
  readonly queue: Waiting[]
  servedMs: number
  queuedMs: number
  /** Saved up for the one that has waited longest. */
  owedMs: number
}

export class FairBand {
  readonly #flows = new Map<string, Flow>()
  /** What the tenant that is served now was served before: where newcomers begin. */
  #virtualMs = 0
  #size = 0
  #queuedMs = 0

  get size(): number {
    return this.#size
  }

  get queuedMs(): number {
    return this.#queuedMs
  }

  /** Tenants that wait. */
  get tenants(): number {
    let tenants = 0
    for (const { queue } of this.#flows.values()) if (queue.length > 0) tenants++
    return tenants
  }

  queuedMsOf(tenant: string): number {
    return this.#flows.get(tenant)?.queuedMs ?? 0
  }

  /** Work of a tenant's requests that go before `waiting`. */
  aheadMs(waiting: Waiting): number {
    const queue = this.#flows.get(waiting.tenant)?.queue ?? []
    let sum = 0
    for (const other of queue.slice(0, place(queue, waiting))) sum += other.workMs
    return sum
  }

  *all(): Generator<Waiting> {
    for (const { queue } of this.#flows.values()) yield* queue
  }

  add(waiting: Waiting): void {
    let flow = this.#flows.get(waiting.tenant)
    if (!flow) {
      flow = { queue: [], servedMs: this.#virtualMs, queuedMs: 0, owedMs: 0 }
      this.#flows.set(waiting.tenant, flow)
    }
    if (flow.queue.length === 0) flow.servedMs = Math.max(flow.servedMs, this.#virtualMs)
    flow.queue.splice(place(flow.queue, waiting), 0, waiting)
    this.#count(flow, waiting, 1)
  }

  remove(waiting: Waiting): boolean {
    const flow = this.#flows.get(waiting.tenant)
    const at = flow?.queue.indexOf(waiting) ?? -1
    if (!flow || at < 0) return false
    flow.queue.splice(at, 1)
    this.#count(flow, waiting, -1)
    this.#sweep()
    return true
  }

  /** Who goes next; null when nobody fits, or when one that insists does not. */
  next(fits: (waiting: Waiting) => boolean, insists: (waiting: Waiting) => boolean): Waiting | null {
    const passed = new Set<Flow>()
    for (let flow = this.#leastServed(passed); flow; flow = this.#leastServed(passed)) {
      for (const waiting of inTurn(flow)) {
        if (fits(waiting)) return waiting
        if (insists(waiting)) return null
      }
      passed.add(flow)
    }
    return null
  }

  /** It goes: its work counts as served. */
  serve(waiting: Waiting): void {
    const flow = this.#flows.get(waiting.tenant)
    if (!flow) return
    this.#virtualMs = Math.max(this.#virtualMs, flow.servedMs)
    flow.servedMs += waiting.workMs
    if (oldest(flow) === waiting) flow.owedMs = Math.max(flow.owedMs - waiting.workMs, 0)
    else flow.owedMs += OLDEST_SHARE * waiting.workMs
    this.remove(waiting)
  }

  /** The last of the tenant that has the most work waiting: who goes when there is no place. */
  last(): Waiting | null {
    let most: Flow | null = null
    for (const flow of this.#flows.values())
      if (flow.queue.length > 0 && (!most || flow.queuedMs > most.queuedMs)) most = flow
    return most?.queue.at(-1) ?? null
  }

  #leastServed(passed: ReadonlySet<Flow>): Flow | null {
    let least: Flow | null = null
    for (const flow of this.#flows.values()) {
      if (flow.queue.length === 0 || passed.has(flow)) continue
      if (!least || flow.servedMs < least.servedMs) least = flow
    }
    return least
  }

  #count(flow: Flow, { workMs }: Waiting, sign: 1 | -1): void {
    this.#size += sign
    this.#queuedMs = this.#size === 0 ? 0 : this.#queuedMs + sign * workMs
    flow.queuedMs = flow.queue.length === 0 ? 0 : flow.queuedMs + sign * workMs
  }

  /** A tenant that is not ahead of newcomers is one; when nobody waits, all are. */
  #sweep(): void {
    if (this.#size === 0) {
      this.#flows.clear()
      this.#virtualMs = 0
      return
    }
    for (const [tenant, { queue, servedMs }] of this.#flows)
      if (queue.length === 0 && servedMs <= this.#virtualMs) this.#flows.delete(tenant)
  }
}

/** Who may go, in order: the one that has waited longest when its turn is paid for, then by size and age. */
function inTurn(flow: Flow): readonly Waiting[] {
  const first = flow.queue.slice(0, SCAN_MAX)
  const aged = flow.owedMs > 0 ? oldest(flow) : undefined
  return aged && aged.workMs <= flow.owedMs ? [aged, ...first] : first
}

function oldest({ queue }: Flow): Waiting | undefined {
  let found = queue[0]
  for (const waiting of queue) if (found && waiting.arrivedMs < found.arrivedMs) found = waiting
  return found
}

/** Where it belongs in the order; behind its equals. */
function place(queue: readonly Waiting[], waiting: Waiting): number {
  const order = orderMs(waiting)
  let low = 0
  let high = queue.length
  while (low < high) {
    const middle = (low + high) >> 1
    const other = queue[middle]
    if (other && orderMs(other) <= order) low = middle + 1
    else high = middle
  }
  return low
}
