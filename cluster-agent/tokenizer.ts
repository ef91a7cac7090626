/**
 * A model's own template and tokenizer files: from a request to the tokens that the engine makes of it. Text between special
 * tokens is tokenised once and remembered, so that a conversation costs what is new of it. Runs in the tokenizer's thread.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Tokenizer } from 'tokenizers'
import { z } from 'zod'
import { chatForm } from '../core/chat-form.ts'
import type { PromptApi } from '../protocol/apis.ts'
import type { JsonObject } from './handoff/json.ts'
import { ChatTemplate, type RenderedPrompt } from './prompt/chat-template.ts'
import { cuttingOf, PieceCutter, placesOf, stretchesOf, type Piece } from './prompt/pieces.ts'
import { TextMemory } from './prompt/text-memory.ts'
import type { TokenizedPrompt } from './prompt/understanding.ts'

/** Text whose tokens are remembered: about 12 bytes a character with its tokens. */
const REMEMBERED_UNITS_MAX = 16 * 1024 * 1024

const tokenSchema = z.union([z.string(), z.object({ content: z.string() })]).nullish()
const configSchema = z.object({
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish(),
  bos_token: tokenSchema,
  eos_token: tokenSchema,
  pad_token: tokenSchema,
  unk_token: tokenSchema,
})
const SPECIALS = ['bos_token', 'eos_token', 'pad_token', 'unk_token'] as const
const tokenizerSchema = z.record(z.string(), z.unknown())

interface Tokens {
  readonly ids: Uint32Array
  /** Length of their text. */
  readonly units: number
  /** In UTF-16 units of their own text. */
  readonly ends: Uint32Array
}

export class ModelTokenizer {
  readonly #tokenizer: Tokenizer
  readonly #template: ChatTemplate | null
  readonly #cutter: PieceCutter | null
  readonly #splitsWords: boolean
  readonly #remembered = new TextMemory<Tokens>(REMEMBERED_UNITS_MAX)
  /** Characters that were tokenised, and that were remembered instead. */
  readonly counts = { tokenized: 0, remembered: 0 }

  constructor(tokenizer: Tokenizer, template: ChatTemplate | null, json: JsonObject) {
    this.#tokenizer = tokenizer
    this.#template = template
    const cutting = cuttingOf(json)
    this.#cutter = cutting && new PieceCutter(cutting.specials)
    this.#splitsWords = cutting?.splitsWords ?? false
  }

  /** Rejects when a file is missing or wrong. `chat_template.jinja` wins over the configuration's, as in transformers. */
  static async read(folder: string): Promise<ModelTokenizer> {
    const config = configSchema.parse(
      JSON.parse(await readFile(join(folder, 'tokenizer_config.json'), 'utf8')),
    )
    const file = await readFile(join(folder, 'tokenizer.json'), 'utf8')
    const own = await readFile(join(folder, 'chat_template.jinja'), 'utf8').catch(() => null)
    const listed = Array.isArray(config.chat_template)
      ? config.chat_template.find(({ name }) => name === 'default')?.template
      : config.chat_template
    const source = own ?? listed
    const specials = Object.fromEntries(SPECIALS.map((name) => [name, tokenText(config[name])]))
    return new ModelTokenizer(
      Tokenizer.fromString(file),
      typeof source === 'string' ? new ChatTemplate(source, specials) : null,
      tokenizerSchema.parse(JSON.parse(file)),
    )
  }

  /** null when the prompt is of a kind whose text cannot be told. `next` as in `ChatTemplate.render`. */
  async tokenize(
    api: PromptApi,
    body: JsonObject,
    next: 'user' | 'tool' | null = null,
  ): Promise<TokenizedPrompt | null> {
    if (api === 'completions') return this.#tokenizePlain(body)
    const form = chatForm(api, body)
    if (!form.ok || api === 'embeddings') return null
    const rendered = this.#template?.render(form.body, next)
    return rendered ? this.#tokenizeText(rendered, body['add_special_tokens'] === true) : null
  }

  async #tokenizePlain(body: JsonObject): Promise<TokenizedPrompt | null> {
    if (typeof body['truncate_prompt_tokens'] === 'number') return null
    const { prompt } = body
    const first: unknown = Array.isArray(prompt) && typeof prompt[0] !== 'number' ? prompt[0] : prompt
    if (typeof first === 'string')
      return this.#tokenizeText(
        { text: first, knownUnits: first.length },
        body['add_special_tokens'] !== false,
      )
    return Array.isArray(first) ? idsOnly(first as number[]) : null
  }

  async #tokenizeText(rendered: RenderedPrompt, addsSpecials: boolean): Promise<TokenizedPrompt> {
    const { text } = rendered
    const pieces = this.#cutter && !addsSpecials ? this.#cutter.cut(text) : null
    const { ids, ends } = pieces ? await this.#tokenizePieces(pieces) : await this.#encode(text, addsSpecials)
    const specials = pieces && placesOf(pieces)
    return { rendered, tokens: ids, tokenEnds: ends, specials, splitsWords: this.#splitsWords }
  }

  async #tokenizePieces(pieces: readonly Piece[]): Promise<Tokens> {
    const parts: Tokens[] = []
    for (const piece of pieces) {
      if ('special' in piece) {
        const { id, text } = piece.special
        parts.push({ ids: Uint32Array.of(id), units: text.length, ends: Uint32Array.of(text.length) })
        continue
      }
      const stretches = this.#splitsWords ? stretchesOf(piece.text) : [piece.text]
      for (const stretch of stretches) parts.push(this.#recall(stretch) ?? (await this.#remember(stretch)))
    }
    return joined(parts)
  }

  #recall(text: string): Tokens | null {
    const known = this.#remembered.find(text)
    if (known) this.counts.remembered += text.length
    return known
  }

  async #remember(text: string): Promise<Tokens> {
    const tokens = await this.#encode(text, false)
    this.#remembered.keep(text, tokens)
    return tokens
  }

  async #encode(text: string, addSpecialTokens: boolean): Promise<Tokens> {
    this.counts.tokenized += text.length
    const encoding = await this.#tokenizer.encode(text, null, { addSpecialTokens })
    const ends = unitEnds(text, encoding.getOffsets())
    return { ids: Uint32Array.from(encoding.getIds()), units: text.length, ends }
  }
}

function joined(parts: readonly Tokens[]): Tokens {
  const length = parts.reduce((sum, { ids }) => sum + ids.length, 0)
  const ids = new Uint32Array(length)
  const ends = new Uint32Array(length)
  let at = 0
  let base = 0
  for (const part of parts) {
    ids.set(part.ids, at)
    for (let i = 0; i < part.ends.length; i++) ends[at + i] = base + (part.ends[i] ?? 0)
    at += part.ids.length
    base += part.units
  }
  return { ids, units: base, ends }
}

/** Token ids have no text: positions are those of their comma-separated form, as in the canonical prompt. */
function idsOnly(ids: readonly number[]): TokenizedPrompt {
  let end = -1
  const text = ids.join(',')
  return {
    rendered: { text, knownUnits: text.length },
    tokens: Uint32Array.from(ids),
    tokenEnds: Uint32Array.from(ids, (id) => (end += String(id).length + 1)),
    specials: null,
    splitsWords: true,
  }
}

function tokenText(token: z.infer<typeof tokenSchema>): string | undefined {
  return typeof token === 'string' ? token : token?.content
}

/** The tokenizer counts code points; our positions are UTF-16 units. */
function unitEnds(text: string, offsets: readonly (readonly number[])[]): Uint32Array {
  const ends = Uint32Array.from(offsets, (offset) => offset[1] ?? 0)
  if (!/[\ud800-\udfff]/.test(text)) return ends
  const unitOfPoint: number[] = [0]
  let unit = 0
  for (const character of text) unitOfPoint.push((unit += character.length))
  return ends.map((end) => unitOfPoint[end] ?? text.length)
}
