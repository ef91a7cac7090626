/**
 * Which engine keeps which response of the Responses API: it is kept in one server process, so what continues it must go
 * there. Bounded, and forgotten with the agent; then an engine that does not know the response says so.
 */
import type { GenerateRequest } from './generate-request.ts'
import type { Pair } from './routing/select.ts'

export const RESPONSES_MAX = 65_536

interface Placed {
  readonly endpoint: { readonly number: number }
}

export class ResponseHomes {
  readonly #homes = new Map<string, number>()

  /** The request was answered by the pair; the decode engine keeps the answer. */
  note({ api, body }: Pick<GenerateRequest, 'api' | 'body'>, { decode }: Pair): void {
    const id = body.json['request_id']
    if (api !== 'responses' || typeof id !== 'string') return
    this.#homes.set(id, decode.endpoint.number)
    if (this.#homes.size <= RESPONSES_MAX) return
    const oldest = this.#homes.keys().next()
    if (!oldest.done) this.#homes.delete(oldest.value)
  }

  /** Of `candidates` those that may answer the request: one when it continues what one keeps. */
  filter<C extends Placed>({ body }: Pick<GenerateRequest, 'body'>, candidates: readonly C[]): readonly C[] {
    const previous = body.json['previous_response_id']
    const home = typeof previous === 'string' ? this.#homes.get(previous) : undefined
    return home === undefined ? candidates : candidates.filter(({ endpoint }) => endpoint.number === home)
  }
}
