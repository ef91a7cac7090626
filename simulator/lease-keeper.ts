/** A decode engine's open transfers: leases are renewed while their KV is not read, and ended when it is. */
import type { TransferDesk } from './engine-options.ts'
import { LEASE_MS } from './engine/lease-table.ts'
import { notifyTransfer } from './transfer-channel.ts'
import type { TransferSource } from './wire/transfer-params.ts'

/** vLLM's decode engine sends a heartbeat six times a lease. */
const HEARTBEAT_MS = LEASE_MS / 6

export class LeaseKeeper implements TransferDesk {
  private readonly version: string
  private readonly sources = new Map<string, TransferSource>()
  private timer: NodeJS.Timeout | null = null

  constructor(version: string) {
    this.version = version
  }

  add(id: string, source: TransferSource): void {
    this.sources.set(id, source)
    this.timer ??= setInterval(() => this.renewAll(), HEARTBEAT_MS)
  }

  end(id: string): void {
    const source = this.sources.get(id)
    if (source === undefined) return
    this.sources.delete(id)
    notifyTransfer(source, this.version, 'end')
    if (this.sources.size === 0) this.stop()
  }

  /** Forgets everything without a word, as a crash does: the leases run out. */
  stop(): void {
    this.sources.clear()
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
  }

  private renewAll(): void {
    for (const source of this.sources.values()) notifyTransfer(source, this.version, 'renew')
  }
}
