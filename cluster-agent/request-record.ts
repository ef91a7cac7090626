/** What comes true of one request, noted while it runs and told once at its end. */
import type { Outcome } from '../protocol/outcome.ts'
import type { Usage } from './answer/usage.ts'
import type { AnswerReader } from './answer-reader.ts'
import type { FinishedRequest } from './finished-request.ts'
import type { GenerateRequest } from './generate-request.ts'
import { predictedMs, type Pair } from './routing/select.ts'

/** What others write for a client that left. */
const CLIENT_LEFT_STATUS = 499
/** A wait in which no cache changes much. */
const WAIT_MS_FORESEEABLE = 50

export class RequestRecord {
  readonly #request: GenerateRequest
  readonly #cluster: string
  #pair: Pair | null = null
  #knownTokens = 0
  #reader: AnswerReader | null = null
  #ttftMs: number | null = null
  #usage: Usage | null = null

  constructor(request: GenerateRequest, cluster: string) {
    this.#request = request
    this.#cluster = cluster
  }

  /** `knownTokens`: of the prompt, as in `PricedPrompt`. */
  noteChoice(pair: Pair, knownTokens: number): void {
    this.#pair = pair
    this.#knownTokens = knownTokens
    this.#reader = null
    this.#ttftMs = null
    this.#usage = null
  }

  noteReader(reader: AnswerReader): void {
    this.#reader = reader
  }

  noteFirstByte(): void {
    this.#ttftMs ??= performance.now() - this.#request.startMs
  }

  /** What the engine told of it elsewhere. */
  noteUsage(usage: Usage): void {
    this.#usage = usage
  }

  /** Asked for when the answer is whole: it is looked for once. */
  get usage(): Usage | null {
    return (this.#usage ??= this.#reader?.usage ?? null)
  }

  /** Once: it ends the request's trace too. */
  finish(end: Outcome['end'], status: number): FinishedRequest {
    const { requestId, caller, prompt, startMs, trace } = this.#request
    const pair = this.#pair
    const { usage } = this
    const events = this.#reader?.events ?? 0
    const finished: FinishedRequest = {
      requestId,
      attempt: caller.attempt,
      tenant: caller.tenant,
      model: prompt.model.model,
      edgeRegion: caller.edgeRegion,
      cluster: this.#cluster,
      end,
      status: end === 'client-left' ? CLIENT_LEFT_STATUS : status,
      promptTokens: usage?.promptTokens ?? null,
      cachedTokens: usage?.cachedTokens ?? null,
      // The first event of a stream names the role.
      outputTokens: usage?.outputTokens ?? (events > 0 ? events - 1 : null),
      matchedTokens: pair?.reusedTokens ?? 0,
      isForeseeable: pair !== null && isForeseeable(pair),
      knownTokens: this.#knownTokens,
      ttftMs: this.#ttftMs,
      predictedTtftMs: pair ? predictedMs(pair) : null,
      durationMs: performance.now() - startMs,
      prefillEndpoint: pair?.prefill.endpoint.name ?? null,
      decodeEndpoint: pair?.decode.endpoint.name ?? null,
      endedMs: Date.now(),
    }
    trace.end(finished)
    return finished
  }
}

/** Whatever goes before it may store its prefix, or evict it; what was only sent there may not be there yet. */
function isForeseeable({ prefill, reusedTokens, queueMs, kvWaitMs }: Pair): boolean {
  const isConfirmed = prefill.speculativeTokens === 0 || reusedTokens > prefill.speculativeTokens
  return isConfirmed && queueMs + kvWaitMs <= WAIT_MS_FORESEEABLE
}
