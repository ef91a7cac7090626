/**
 * A request in the books: what is set aside for it before it goes out, and the note of how it was routed. What it cost comes
 * from its agent, by another way.
 */
import type { RoutedApi } from '../protocol/apis.ts'
import { RouteError } from '../protocol/errors.ts'
import type { Receipt } from '../protocol/receipt.ts'
import type { ActiveTenant } from '../protocol/tenancy.ts'
import type { Admission } from './admit.ts'
import type { Edge } from './env.ts'
import { explainCandidate } from './explain.ts'
import { toRouteError } from './failure.ts'
import { flushLater } from './flush.ts'
import { reserve, type Reservation } from './reservation.ts'
import { tryShadow } from './shadow.ts'
import type { Survey } from './survey.ts'

export interface AccountedRequest {
  readonly edge: Edge
  readonly requestId: string
  readonly tenant: ActiveTenant
  readonly admission: Admission
  readonly survey: Survey
  readonly api: RoutedApi
  readonly startedMs: number
  /** Headers that the answer carries. */
  readonly headers: Record<string, string>
  readonly waitUntil: (work: Promise<void>) => void
}

/** Follows one request. */
export class RequestAccount {
  readonly #request: AccountedRequest
  readonly #reservation: Reservation
  readonly #attempts: { attempt: number; cluster: string }[] = []

  constructor(request: AccountedRequest, reservation: Reservation) {
    this.#request = request
    this.#reservation = reservation
  }

  /** A cluster is about to be tried. */
  attempt({ attempt, cluster }: Receipt): void {
    this.#attempts.push({ attempt, cluster })
  }

  /** Hears what becomes of the request; never rejects, and nobody waits for it. */
  follow(delivering: Promise<{ readonly response: Response }>): void {
    const noted = delivering.then(
      ({ response }) => {
        // A cluster that refuses has computed nothing.
        if (response.status >= 400) this.#reservation.release()
        // The headers of an answer that comes whole follow its last token.
        else if (!this.#request.admission.stream) this.#reservation.end()
        this.#note(response.status)
      },
      (error: unknown) => {
        this.#reservation.release()
        this.#note(error instanceof RouteError ? error.kind.status : toRouteError(error).kind.status)
      },
    )
    this.#request.waitUntil(noted.then(() => flushLater(this.#request.edge)))
  }

  /** The answer is over: its place among the requests under way is free. */
  end(): void {
    this.#reservation.end()
  }

  #note(status: number): void {
    const { edge, requestId, tenant, admission, survey, api, startedMs } = this.#request
    tryShadow(edge, tenant, requestId, admission, survey)
    const { plan } = survey
    const isKept = edge.notes.add({
      requestId,
      tenant: tenant.tenant,
      keyId: tenant.keyId,
      policyVersion: tenant.policyVersion,
      api: api.prompt,
      model: admission.model,
      stream: admission.stream,
      edgeRegion: survey.edgeRegion,
      startedMs,
      routing: admission.routing,
      reason: plan.reason,
      knowledge: survey.knowledge,
      candidates: plan.entries.map(explainCandidate),
      rejected: plan.rejected,
      attempts: this.#attempts,
      status,
      answeredMs: Date.now() - startedMs,
    })
    if (!isKept) edge.counters.count('notesLost')
  }
}

/** Throws what `reserve` throws: then nothing goes out. */
export async function admitRequest(request: AccountedRequest): Promise<RequestAccount> {
  const { edge, requestId, tenant, admission, survey, api, headers, waitUntil } = request
  const size = {
    requestId,
    model: admission.model,
    // Counting tokens uses none.
    promptBytes: api.generates || api.prompt === 'embeddings' ? survey.fingerprint.promptBytes : 0,
    outputTokensMax: api.generates ? admission.outputTokensMax : 0,
    answers: admission.answers,
  }
  try {
    return new RequestAccount(request, await reserve(edge, tenant, size, headers))
  } catch (error) {
    edge.counters.count('requestsRefused')
    waitUntil(flushLater(edge))
    throw error
  }
}
