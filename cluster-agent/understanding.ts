/**
 * Prompts and answers understood: by the model's own files in the tokenizer's thread, or by an engine where there are none or
 * where the two do not agree.
 */
import type { Logger } from 'pino'
import { chatForm } from '../core/chat-form.ts'
import type { HashKey } from '../core/half-sip-hash.ts'
import { markerCount, prefixMarkers } from '../core/prefix-markers.ts'
import { PromptWriter } from '../core/prompt-bytes.ts'
import type { PromptApi } from '../protocol/apis.ts'
import type { ModelConfig } from './config.ts'
import { askTokens } from './engine-tokenizer.ts'
import type { ClientBody } from './handoff/engine-body.ts'
import type { JsonObject } from './handoff/json.ts'
import { answerTurns } from './prompt/answer-turn.ts'
import {
  aspectsOf,
  compareTokens,
  DIAGNOSES,
  PARITY_SAMPLES,
  type Aspect,
  type Parity,
} from './prompt/parity.ts'
import { certainUnder } from './prompt/understanding.ts'
import type { TokenizerWork, Understood } from './tokenizer-message.ts'
import { ThreadLost, TokenizerThread } from './tokenizer-thread.ts'

export interface PromptToLearn {
  readonly api: PromptApi
  readonly model: ModelConfig
  readonly body: ClientBody
  readonly markers: Uint32Array
  readonly cacheSalt: string
  readonly prefixKey: HashKey
  /** With the answer: the conversation as it comes back. */
  readonly answer: { readonly chunks: readonly Buffer[]; readonly isStream: boolean } | null
}

/** Stands for the turn that follows an answer, where an engine renders. */
const NEXT_TURN = 'ISOTHERM NEXT TURN'

export class Understanding {
  readonly #thread: TokenizerThread
  readonly #hasFiles: ReadonlySet<string>
  readonly #urlOf: () => string | null
  readonly #log: Logger
  readonly #writer = new PromptWriter(new TextEncoder())
  readonly #parity = new Map<string, Map<Aspect, Parity>>()

  /** `urlOf`: an engine that can be asked, or null. */
  constructor(
    models: readonly ModelConfig[],
    urlOf: () => string | null,
    log: Logger,
    thread?: TokenizerThread,
  ) {
    const folders: Record<string, string> = {}
    const own = new Map(models.map(({ model, tokenizerDir }) => [model, tokenizerDir]))
    for (const { model, tokenizerDir, adapterOf } of models) {
      // An adapter has its base model's tokenizer, unless it says otherwise.
      const folder = tokenizerDir ?? (adapterOf === undefined ? undefined : own.get(adapterOf))
      if (folder !== undefined) folders[model] = folder
    }
    this.#hasFiles = new Set(Object.keys(folders))
    this.#thread = thread ?? new TokenizerThread({ folders }, log)
    this.#urlOf = urlOf
    this.#log = log
  }

  stop(): Promise<void> {
    return this.#thread.stop()
  }

  /** What is known of a model's parity with its engines; empty without files. */
  parity(model: string): ReadonlyMap<Aspect, Parity> {
    return this.#parity.get(model) ?? new Map()
  }

  /** Rejects when files cannot be read; a thread that is slow to start is no reason not to. */
  async check(model: ModelConfig): Promise<void> {
    if (!this.#hasFiles.has(model.model)) return
    const sample = workOf(sampleOf(model, 'completions', { prompt: 'x' }))
    await this.#thread.run(sample).catch((error: unknown) => {
      if (!(error instanceof ThreadLost)) throw error
    })
  }

  /** Compares our tokens with the engine's, aspect by aspect. Whether every aspect is known then. */
  async compare(model: ModelConfig): Promise<boolean> {
    if (!this.#hasFiles.has(model.model) || this.#thread.isLost) return true
    const found = new Map<Aspect, Parity>()
    for (const { aspect, api, body } of PARITY_SAMPLES) {
      const theirs = await askTokens(this.#urlOf(), model.model, api, { model: model.model, ...body })
      const ours = await this.#thread
        .run(workOf(sampleOf(model, api, body)))
        .catch((): readonly Understood[] => [])
      const parity = compareTokens(ours[0]?.tokens ?? null, theirs?.tokens ?? null)
      found.set(aspect, parity)
      if (parity === 'different')
        this.#log.error(
          { model: model.model, aspect, diagnosis: DIAGNOSES[aspect] },
          'prompts are not understood as the engine does',
        )
      if (theirs === null && aspect === 'text') return false
    }
    this.#parity.set(model.model, found)
    return true
  }

  /** Empty when the prompt is of a kind whose tokens cannot be told. Rejects when whoever is asked fails. */
  understand(prompt: PromptToLearn): Promise<readonly Understood[]> {
    return this.#agrees(prompt) ? this.#thread.run(workOf(prompt)) : this.#byEngine(prompt)
  }

  #agrees({ api, model, body }: PromptToLearn): boolean {
    if (!this.#hasFiles.has(model.model) || this.#thread.isLost) return false
    const parity = this.#parity.get(model.model)
    if (!parity) return true
    const form = chatForm(api, body.json)
    return form.ok && aspectsOf(api, form.body).every((aspect) => parity.get(aspect) !== 'different')
  }

  async #byEngine({ api, model, body, markers, answer, prefixKey }: PromptToLearn): Promise<Understood[]> {
    if (!answer) return this.#askFor(api, model, body.json, markers, false)
    const text = Buffer.concat(answer.chunks).toString('utf8')
    const all: Understood[] = []
    for (const turn of answerTurns(api, body.json, text, answer.isStream)) {
      const written = this.#writer.write(api, model.model, turn.body)
      if (!written.ok) continue
      const { bytes, messageEnds } = written.prompt
      const own = prefixMarkers(bytes, messageEnds, prefixKey)
      const messages = turn.body['messages'] as readonly unknown[]
      const next = {
        ...turn.body,
        messages: [...messages, { role: turn.next, content: NEXT_TURN }],
        add_generation_prompt: false,
      }
      all.push(...(await this.#askFor(api, model, next, own, true)))
    }
    return all
  }

  async #askFor(
    api: PromptApi,
    model: ModelConfig,
    body: JsonObject,
    markers: Uint32Array,
    hasNext: boolean,
  ): Promise<Understood[]> {
    const asked = await askTokens(this.#urlOf(), model.model, api, body)
    const written = this.#writer.write(api, model.model, body)
    if (!asked || !written.ok) return []
    const { text } = asked.rendered
    const knownUnits = hasNext ? Math.max(text.lastIndexOf(NEXT_TURN), 0) : text.length
    const offsets = Array.from({ length: markerCount(markers) }, (_, i) => markers[i * 3] ?? 0)
    const prompt = { ...asked, rendered: { text, knownUnits } }
    return [
      {
        tokens: new Uint32Array(asked.tokens),
        markers: new Uint32Array(markers),
        certain: Uint32Array.from(certainUnder(prompt, written.prompt, offsets)),
        promptBytes: hasNext ? 0 : written.prompt.bytes.length,
      },
    ]
  }
}

function sampleOf(model: ModelConfig, api: PromptApi, body: JsonObject): PromptToLearn {
  const json = { model: model.model, ...body }
  const bytes = Buffer.from(JSON.stringify(json))
  const nobody = { markers: new Uint32Array(0), cacheSalt: '', prefixKey: { lo: 0, hi: 0 }, answer: null }
  return { api, model, body: { bytes, json, isClean: true, added: {} }, ...nobody }
}

/** Everything is copied: the thread takes its buffers for good. */
function workOf({ api, model, body, markers, answer, prefixKey }: PromptToLearn): TokenizerWork {
  const bytes = body.isClean ? body.bytes : Buffer.from(JSON.stringify(body.json))
  const work = { model: model.model, api, body: new Uint8Array(bytes) }
  return answer
    ? {
        ...work,
        kind: 'answer',
        key: prefixKey,
        answer: new Uint8Array(Buffer.concat(answer.chunks)),
        isStream: answer.isStream,
      }
    : { ...work, kind: 'prompt', markers: new Uint32Array(markers) }
}
