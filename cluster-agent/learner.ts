/**
 * Learns prompts and answers in the background, a few at a time, and enters their markers into the ledger. The queue is bounded in
 * number and bytes; when more comes than can be learnt, the oldest is dropped.
 */
import { setImmediate as yieldToRequests, setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { markerCount } from '../core/prefix-markers.ts'
import type { Cluster } from './cluster.ts'
import type { FinishedRequest, RequestObserver } from './finished-request.ts'
import type { GenerateRequest } from './generate-request.ts'
import { enterInSlices } from './prompt/chain-marks.ts'
import { InlinePrice } from './prompt/inline-price.ts'
import { TOGETHER_MAX } from './tokenizer-thread.ts'
import { Understanding, type PromptToLearn } from './understanding.ts'

export const QUEUE_MAX = 128
/** Bodies and answers that wait. */
export const QUEUE_BYTES_MAX = 128 * 1024 * 1024
/** How long what is to be learnt waits for more. */
const LINGER_MS = 5
const PARITY_RETRY_MS = 2000
/** Files are compared with an engine this often before they are believed without. */
const PARITY_TRIES_MAX = 300

export class Learner implements RequestObserver {
  readonly #cluster: Cluster
  readonly #log: Logger
  readonly #understanding: Understanding
  readonly #price: InlinePrice
  readonly #stopping = new AbortController()
  readonly #queue: PromptToLearn[] = []
  #queuedBytes = 0
  /** Whether a request waits for what is learnt now. */
  #isAwaited = false
  #running: Promise<void> | null = null
  #comparing: Promise<void> = Promise.resolve()
  /** Prompts that were entered, dropped from a full queue, that could not be tokenised, and that were learnt before routing. */
  readonly counts = { learnt: 0, dropped: 0, failed: 0, inline: 0 }

  /** `isFresh`: nothing was restored from an earlier run. */
  constructor(cluster: Cluster, log: Logger, isFresh = true, understanding?: Understanding) {
    this.#cluster = cluster
    this.#log = log
    this.#price = new InlinePrice(isFresh)
    this.#understanding =
      understanding ?? new Understanding(cluster.config.models, () => cluster.anyUrl(), log)
  }

  get understanding(): Understanding {
    return this.#understanding
  }

  get pending(): number {
    return this.#queue.length + (this.#running ? 1 : 0)
  }

  /** Fails fast on tokenizer files that cannot be read. */
  async prepare(): Promise<void> {
    for (const model of this.#cluster.config.models) await this.#understanding.check(model)
  }

  /** Compares the files with the engines once one answers. */
  start(): void {
    this.#comparing = this.#compareAll()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#queue.length = 0
    await this.#understanding.stop()
    await Promise.all([this.#running, this.#comparing])
  }

  /** Waits for the prompt to be understood where that is expected to pay, within what it is worth. */
  learnFirst(request: GenerateRequest): Promise<void> | null {
    const { prompt } = request
    const { model, markers, promptBytes } = prompt
    const { ratio, ledger } = this.#cluster.state(model)
    const unknownBytes = promptBytes - knownBytes(ledger, markers)
    const endpoints = this.#cluster.endpoints
    const [first] = endpoints
    if (!first || this.pending > 0 || markerCount(markers) === 0) return null
    const { fixedMs, msPerToken } = first.profile.prefill
    const prefillMs = fixedMs + msPerToken * ratio.tokens(Math.max(unknownBytes, 0))
    const worthMs = this.#price.worthMs(unknownBytes, prefillMs, endpoints.length)
    if (worthMs === 0) return null
    this.counts.inline++
    this.#isAwaited = true
    this.offer(request)
    return this.#waitFor(worthMs)
  }

  async #waitFor(worthMs: number): Promise<void> {
    const waited = new AbortController()
    await Promise.race([this.#running, sleep(worthMs, undefined, { signal: waited.signal })]).catch(
      () => undefined,
    )
    this.#isAwaited = false
    waited.abort()
  }

  offer(request: GenerateRequest): void {
    if (!this.#isKnown(request.prompt)) this.#enqueue(toLearn(request, null))
  }

  /** Whether the answer's turn is worth keeping: its prompt is one that a client continues. */
  learnsAnswer({ api, prompt }: GenerateRequest): boolean {
    return api === 'chat' && prompt.isSplittable && !this.#stopping.signal.aborted
  }

  offerAnswer(request: GenerateRequest, chunks: readonly Buffer[]): void {
    this.#enqueue(toLearn(request, { chunks, isStream: request.stream }))
  }

  noteFinished({ promptTokens, cachedTokens, matchedTokens, end }: FinishedRequest): void {
    if (end !== 'complete' || promptTokens === null || cachedTokens === null) return
    this.#price.noteOutcome(promptTokens - matchedTokens, cachedTokens - matchedTokens)
  }

  #enqueue(prompt: PromptToLearn): void {
    if (this.#stopping.signal.aborted) return
    this.#queue.push(prompt)
    this.#queuedBytes += bytesOf(prompt)
    while (
      this.#queue.length > QUEUE_MAX ||
      (this.#queuedBytes > QUEUE_BYTES_MAX && this.#queue.length > 1)
    ) {
      const oldest = this.#queue.shift()
      if (oldest) this.#queuedBytes -= bytesOf(oldest)
      this.counts.dropped++
    }
    this.#running ??= this.#run().finally(() => (this.#running = null))
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      // What comes meanwhile is learnt together, behind the requests; where one waits for it, at once.
      if (this.#isAwaited) await yieldToRequests()
      else await sleep(LINGER_MS, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
      const together = this.#queue.splice(0, TOGETHER_MAX)
      for (const prompt of together) this.#queuedBytes -= bytesOf(prompt)
      await Promise.all(together.map((prompt) => this.#tryToLearn(prompt)))
    }
  }

  async #tryToLearn(prompt: PromptToLearn): Promise<void> {
    if (!prompt.answer && this.#isKnown(prompt)) return
    try {
      await this.#learn(prompt)
    } catch (error) {
      this.counts.failed++
      if (!this.#stopping.signal.aborted)
        this.#log.warn({ model: prompt.model.model, error: describe(error) }, 'a prompt could not be learnt')
    }
  }

  async #learn(prompt: PromptToLearn): Promise<void> {
    const { model, cacheSalt, answer } = prompt
    const startMs = performance.now()
    const understood = await this.#understanding.understand(prompt)
    this.#price.noteWork(prompt.body.bytes.length, performance.now() - startMs)
    if (understood.length === 0 && !answer) this.counts.failed++
    const { index, ledger, ratio } = this.#cluster.state(model)
    for (const { tokens, markers, certain, promptBytes } of understood) {
      ratio.learn(promptBytes, tokens.length)
      const lora = model.adapterOf === undefined ? null : model.model
      const steps = enterInSlices(index, ledger, {
        model: model.model,
        lora,
        salt: cacheSalt,
        tokens,
        markers,
        certainTokens: certain,
      })
      let step = steps.next()
      for (; step.done !== true; step = steps.next()) await yieldToRequests()
      if (step.value && !answer) this.counts.learnt++
    }
  }

  async #compareAll(): Promise<void> {
    const { signal } = this.#stopping
    for (const model of this.#cluster.config.models)
      for (let tries = 0; tries < PARITY_TRIES_MAX && !signal.aborted; tries++) {
        const isDone = await this.#understanding.compare(model).catch(() => false)
        if (isDone) break
        await sleep(PARITY_RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined)
      }
  }

  #isKnown({ model, markers }: Pick<PromptToLearn, 'model' | 'markers'>): boolean {
    const last = markerCount(markers) - 1
    if (last < 0) return true
    const { ledger } = this.#cluster.state(model)
    return ledger.find(markers[last * 3 + 1] ?? 0, markers[last * 3 + 2] ?? 0) !== null
  }
}

/** Bytes of the deepest marker that the ledger knows. */
function knownBytes(ledger: { find(lo: number, hi: number): object | null }, markers: Uint32Array): number {
  for (let i = markerCount(markers) - 1; i >= 0; i--)
    if (ledger.find(markers[i * 3 + 1] ?? 0, markers[i * 3 + 2] ?? 0)) return markers[i * 3] ?? 0
  return 0
}

function toLearn(request: GenerateRequest, answer: PromptToLearn['answer']): PromptToLearn {
  const { api, prompt, body, cacheSalt, prefixKey } = request
  return { api, model: prompt.model, body, markers: prompt.markers, cacheSalt, prefixKey, answer }
}

function bytesOf({ body, answer }: PromptToLearn): number {
  return (answer?.chunks ?? []).reduce((sum, { length }) => sum + length, body.bytes.length)
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
