/**
 * Which engine keeps which response of the Responses API: it is kept in one server process, so what continues it must go
 * there, and so must what reads or ends it. Noted before the request goes out, since who has seen a stream's first event may
 * ask at once. Bounded, and forgotten with the agent.
 */
import type { GenerateRequest } from './generate-request.ts'
import type { Pair } from './routing/select.ts'

export const RESPONSES_MAX = 65_536

interface Placed {
  readonly endpoint: { readonly number: number }
}

export interface ResponseHome {
  readonly endpoint: number
  /** Whether its events can be read again: it is made in the background, as a stream. null: this agent does not know. */
  readonly hasEvents: boolean | null
}

export class ResponseHomes {
  readonly #homes = new Map<string, ResponseHome>()

  /** The request goes to the pair; the decode engine keeps the answer. */
  note({ api, body }: Pick<GenerateRequest, 'api' | 'body'>, { decode }: Pair): void {
    const { request_id: id, background, stream } = body.json
    if (api !== 'responses' || typeof id !== 'string') return
    this.place(id, { endpoint: decode.endpoint.number, hasEvents: background === true && stream === true })
  }

  place(id: string, home: ResponseHome): void {
    this.#homes.delete(id)
    this.#homes.set(id, home)
    if (this.#homes.size <= RESPONSES_MAX) return
    const oldest = this.#homes.keys().next()
    if (!oldest.done) this.#homes.delete(oldest.value)
  }

  /** null when this agent does not know. */
  of(id: string): ResponseHome | null {
    return this.#homes.get(id) ?? null
  }

  /** Of `candidates` those that may answer the request: one when it continues what one keeps. */
  filter<C extends Placed>({ body }: Pick<GenerateRequest, 'body'>, candidates: readonly C[]): readonly C[] {
    const previous = body.json['previous_response_id']
    const home = typeof previous === 'string' ? this.#homes.get(previous) : undefined
    return home === undefined
      ? candidates
      : candidates.filter(({ endpoint }) => endpoint.number === home.endpoint)
  }
}
