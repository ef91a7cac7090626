/** What agents are told when something is wrong with them, counted by reason for operators. */
import { refuse, send, type RefusalReason, type ResyncReason, type Sending } from './sending.ts'

export class Rejects {
  readonly #counts = new Map<string, number>()

  refuse(connection: string, reason: RefusalReason): Sending {
    this.#count(reason)
    return refuse(connection, reason)
  }

  askResync(connection: string, reason: ResyncReason): Sending {
    this.#count(reason)
    return send(connection, { type: 'resync', reason })
  }

  /** The agent is one version too new or too old; it may come back with another. */
  refuseVersion(connection: string): Sending {
    return { ...this.askResync(connection, 'unsupported-version'), closes: true }
  }

  counts(): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }

  #count(reason: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
  }
}
