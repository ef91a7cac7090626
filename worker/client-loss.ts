/** That the client of a request has left: said once, heard by the calls that were made for it. */
import type { RouteError } from '../protocol/errors.ts'

/** What an `AbortController` would do, without an object of the platform's for each request. */
export class ClientLoss {
  readonly #listeners: (() => void)[] = []
  #reason: RouteError | null = null

  /** null: the client is there, as far as anybody knows. */
  get reason(): RouteError | null {
    return this.#reason
  }

  /** At once when the client has left already. */
  onLoss(listener: () => void): void {
    if (this.#reason === null) this.#listeners.push(listener)
    else listener()
  }

  say(reason: RouteError): void {
    this.#reason ??= reason
    for (const listener of this.#listeners.splice(0)) listener()
  }
}
