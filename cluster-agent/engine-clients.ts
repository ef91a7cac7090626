/** One HTTP client for each endpoint, from when it comes until its last request has ended. */
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import { EngineClient } from './engine-client.ts'
import type { RosterPart } from './roster.ts'
import type { Endpoint } from './routing/endpoint.ts'

export class EngineClients implements RosterPart {
  readonly #byNumber = new Map<number, EngineClient>()

  /** null: it has left, and its last request has ended. */
  find(endpoint: number): EngineClient | null {
    return this.#byNumber.get(endpoint) ?? null
  }

  of(endpoint: number): EngineClient {
    const client = this.find(endpoint)
    if (!client) throw new Error(`no endpoint ${endpoint}`)
    return client
  }

  open({ number }: Endpoint, { url }: EndpointSpec): void {
    this.#byNumber.set(number, new EngineClient(url))
  }

  async release(number: number): Promise<void> {
    const client = this.#byNumber.get(number)
    this.#byNumber.delete(number)
    await client?.close()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#byNumber.keys()].map((number) => this.release(number)))
  }
}
