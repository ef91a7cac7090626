/**
 * Requests above the knee, held by production's queue as cluster-agent/waiting-room.ts holds them: at once while there is
 * room and nobody waits, else when `next` says so. Nothing is refused here, since the rules of peers have no bound either.
 */
import { AdmissionQueue } from '../../cluster-agent/admission/queue.ts'
import type { Room } from '../../cluster-agent/admission/room.ts'
import type { SimRequest } from '../world/request.ts'
import { BYTES_PER_TOKEN } from './markers.ts'

/** How often cluster-agent/waiting-room.ts looks. */
const LOOK_MS = 10
const UNBOUNDED = { requestsMax: 1e9, bytesMax: 1e15 }

export class HeldRequests {
  private readonly queue = new AdmissionQueue(UNBOUNDED)
  /** Those that may go and have not been told yet. */
  private readonly released = new Set<string>()
  private readonly held = new Set<string>()
  private lookedMs = -Infinity

  /** GPU milliseconds that wait. */
  get queuedMs(): number {
    return this.queue.queuedMs
  }

  /** Asked again and again of one request until true. `workMs`: its GPU milliseconds; null when none can be said. */
  mayGo(request: SimRequest, nowMs: number, roomNow: () => Room, workMs: () => number | null): boolean {
    const id = String(request.number)
    if (this.held.has(id)) this.look(nowMs, roomNow)
    if (this.released.delete(id)) return true
    if (this.held.has(id)) return false
    const room = roomNow()
    if (room.endpoints === 0 || (this.queue.size === 0 && room.fits(request.promptTokens))) return true
    const ms = workMs()
    if (ms === null) return true
    this.held.add(id)
    const waiting = {
      id,
      tenant: String(request.tenant),
      priority: 0,
      workMs: ms,
      kvTokens: request.promptTokens,
      bytes: request.promptTokens * BYTES_PER_TOKEN,
      arrivedMs: nowMs,
      deadlineMs: Infinity,
    }
    this.queue.offer(waiting, room.endpoints, nowMs)
    return false
  }

  private look(nowMs: number, roomNow: () => Room): void {
    if (nowMs - this.lookedMs < LOOK_MS) return
    this.lookedMs = nowMs
    const { queue } = this
    const room = roomNow()
    const fits = ({ kvTokens }: { kvTokens: number }) => room.endpoints === 0 || room.fits(kvTokens)
    for (let next = queue.next(nowMs, fits); next; next = queue.next(nowMs, fits)) {
      queue.serve(next, nowMs)
      room.take(next.workMs, next.kvTokens)
      this.released.add(next.id)
      this.held.delete(next.id)
    }
  }
}
