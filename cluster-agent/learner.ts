/**
 * Learns prompts in the background: renders and tokenises what was routed, one prompt at a time, and enters its markers
 * into the ledger. The queue is bounded; when prompts come faster than they can be learnt, the oldest are dropped.
 */
import { setImmediate as yieldToRequests } from 'node:timers/promises'
import type { Logger } from 'pino'
import { PromptWriter, type PromptApi } from '../core/prompt-bytes.ts'
import { markerCount } from '../core/prefix-markers.ts'
import type { Cluster } from './cluster.ts'
import type { ModelConfig } from './config.ts'
import type { GenerateRequest } from './generate-request.ts'
import type { JsonObject } from './handoff/json.ts'
import { certainTokens, renderedPositions } from './prompt/alignment.ts'
import { enterPrompt } from './prompt/chain-marks.ts'
import { engineTokenizer, readTokenizer, type PromptTokenizer } from './tokenizer.ts'

export interface RoutedPrompt {
  readonly api: PromptApi
  readonly model: ModelConfig
  readonly body: JsonObject
  readonly markers: Uint32Array
  readonly cacheSalt: string
}

export const QUEUE_MAX = 128

export class Learner {
  readonly #cluster: Cluster
  readonly #log: Logger
  readonly #tokenizers = new Map<string, Promise<PromptTokenizer>>()
  readonly #writer = new PromptWriter(new TextEncoder())
  readonly #queue: RoutedPrompt[] = []
  #isRunning = false
  #isStopped = false
  /** Prompts that were entered, dropped from a full queue, and that could not be tokenised. */
  readonly counts = { learnt: 0, dropped: 0, failed: 0 }

  constructor(cluster: Cluster, log: Logger) {
    this.#cluster = cluster
    this.#log = log
  }

  get pending(): number {
    return this.#queue.length + (this.#isRunning ? 1 : 0)
  }

  /** Fails fast on tokenizer files that cannot be read. */
  async prepare(): Promise<void> {
    for (const model of this.#cluster.config.models) await this.#tokenizer(model)
  }

  learnFirst(_request: GenerateRequest): Promise<void> {
    return Promise.resolve()
  }

  learnsAnswer(_request: GenerateRequest): boolean {
    return false
  }

  offerAnswer(_request: GenerateRequest, _answer: readonly Buffer[]): void {
    return
  }

  offer({ api, cacheSalt, body, prompt: { model, markers } }: GenerateRequest): void {
    const prompt = { api, model, body: body.json, markers, cacheSalt }
    if (this.#isStopped || this.#isKnown(prompt)) return
    this.#queue.push(prompt)
    if (this.#queue.length > QUEUE_MAX) {
      this.#queue.shift()
      this.counts.dropped++
    }
    if (!this.#isRunning) void this.#run()
  }

  stop(): void {
    this.#isStopped = true
    this.#queue.length = 0
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    for (let prompt = this.#queue.shift(); prompt; prompt = this.#queue.shift()) {
      try {
        if (!this.#isKnown(prompt)) await this.#learn(prompt)
      } catch (error) {
        this.counts.failed++
        this.#log.warn({ model: prompt.model.model, error: describe(error) }, 'a prompt could not be learnt')
      }
      await yieldToRequests()
    }
    this.#isRunning = false
  }

  async #learn({ api, model, body, markers, cacheSalt }: RoutedPrompt): Promise<void> {
    const tokenized = await (await this.#tokenizer(model)).tokenize(api, body)
    const written = this.#writer.write(api, model.model, body)
    if (!tokenized || !written.ok) {
      this.counts.failed++
      return
    }
    const { text, tokens, tokenEnds } = tokenized
    const { index, ledger, ratio } = this.#cluster.state(model)
    ratio.learn(written.prompt.bytes.length, tokens.length)
    const offsets = Array.from({ length: markerCount(markers) }, (_, i) => markers[i * 3] ?? 0)
    const positions = renderedPositions(text, written.prompt.segments, offsets)
    const isEntered = enterPrompt(index, ledger, {
      lora: model.adapterOf === undefined ? null : model.model,
      salt: cacheSalt,
      tokens,
      markers,
      certainTokens: positions.map((position) => certainTokens(text, tokenEnds, position)),
    })
    if (isEntered) this.counts.learnt++
  }

  #isKnown({ model, markers }: RoutedPrompt): boolean {
    const last = markerCount(markers) - 1
    if (last < 0) return true
    return (
      this.#cluster.state(model).ledger.find(markers[last * 3 + 1] ?? 0, markers[last * 3 + 2] ?? 0) !== null
    )
  }

  #tokenizer(model: ModelConfig): Promise<PromptTokenizer> {
    const known = this.#tokenizers.get(model.model)
    if (known) return known
    const made = model.tokenizerDir
      ? readTokenizer(model.tokenizerDir)
      : Promise.resolve(engineTokenizer(() => this.#cluster.anyUrl(), model.model))
    this.#tokenizers.set(model.model, made)
    return made
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
