/**
 * From a request to the tokens that the engine makes of it: by the model's own template and tokenizer files, or, without
 * files, by an engine's `/tokenize`. Never on the request path.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Template } from '@huggingface/jinja'
import { Tokenizer } from 'tokenizers'
import { request } from 'undici'
import { z } from 'zod'
import type { PromptApi } from '../core/prompt-bytes.ts'
import type { JsonObject } from './handoff/json.ts'

export interface TokenizedPrompt {
  /** The rendered prompt. */
  readonly text: string
  readonly tokens: readonly number[]
  /** Where each token ends in `text`, in UTF-16 units, rising. */
  readonly tokenEnds: ArrayLike<number>
}

export interface PromptTokenizer {
  /** null when the prompt is of a kind that it cannot render, such as images. */
  tokenize(api: PromptApi, body: JsonObject): Promise<TokenizedPrompt | null>
}

const TOKENIZE_MS_MAX = 30_000

const configSchema = z.object({
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .optional(),
  bos_token: z.union([z.string(), z.object({ content: z.string() })]).nullish(),
  eos_token: z.union([z.string(), z.object({ content: z.string() })]).nullish(),
})

/** Fields of a request that vLLM hands to the chat template under their own names. */
const TEMPLATE_FIELDS = ['tools', 'documents', 'reasoning_effort'] as const

/** Reads `tokenizer.json` and `tokenizer_config.json` of a model. */
export async function readTokenizer(folder: string): Promise<PromptTokenizer> {
  const tokenizer = Tokenizer.fromFile(join(folder, 'tokenizer.json'))
  const config = configSchema.parse(JSON.parse(await readFile(join(folder, 'tokenizer_config.json'), 'utf8')))
  const source = Array.isArray(config.chat_template)
    ? config.chat_template.find(({ name }) => name === 'default')?.template
    : config.chat_template
  const template = source === undefined ? null : new Template(source)
  const specials = { bos_token: tokenText(config.bos_token), eos_token: tokenText(config.eos_token) }

  const encode = async (text: string, addSpecialTokens: boolean): Promise<TokenizedPrompt> => {
    const encoding = await tokenizer.encode(text, null, { addSpecialTokens })
    return { text, tokens: encoding.getIds(), tokenEnds: unitEnds(text, encoding.getOffsets()) }
  }
  return {
    async tokenize(api, body) {
      if (api === 'completions') {
        const prompt: unknown =
          Array.isArray(body['prompt']) && typeof body['prompt'][0] !== 'number'
            ? body['prompt'][0]
            : body['prompt']
        if (typeof prompt === 'string') return encode(prompt, body['add_special_tokens'] !== false)
        return Array.isArray(prompt) ? idsOnly(prompt as number[]) : null
      }
      if (!template || !Array.isArray(body['messages'])) return null
      const messages = body['messages'].map((message) => flattenMessage(message as JsonObject))
      if (messages.includes(null)) return null
      const text = template.render({
        ...specials,
        ...Object.fromEntries(TEMPLATE_FIELDS.map((name) => [name, body[name]])),
        messages,
        add_generation_prompt: body['add_generation_prompt'] !== false,
        ...(body['chat_template_kwargs'] as JsonObject | undefined),
      })
      return encode(text, body['add_special_tokens'] === true)
    },
  }
}

/** Asks an engine, whichever `urlOf` names then: exact, at the price of a round trip and of the engine's CPU. Positions come from the token strings. */
export function engineTokenizer(urlOf: () => string | null, model: string): PromptTokenizer {
  return {
    async tokenize(api, body) {
      const { messages, prompt, tools, add_generation_prompt, chat_template_kwargs } = body
      const asked =
        api === 'chat' ? { messages, tools, add_generation_prompt, chat_template_kwargs } : { prompt }
      if (api === 'completions' && typeof prompt !== 'string') return null
      const url = urlOf()
      if (url === null) return null
      const response = await request(`${url}/tokenize`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, return_token_strs: true, ...asked }),
        headersTimeout: TOKENIZE_MS_MAX,
        bodyTimeout: TOKENIZE_MS_MAX,
      })
      if (response.statusCode !== 200) {
        await response.body.dump()
        return null
      }
      const { tokens, token_strs: pieces } = (await response.body.json()) as Readonly<Record<string, unknown>>
      if (!isListOf(tokens, 'number') || !isListOf(pieces, 'string') || pieces.length !== tokens.length)
        return null
      // Byte-level vocabularies write a space as U+0120 and a line feed as U+010A, one character for one; other bytes
      // stay unmapped, which only makes the alignment stop early.
      const text = pieces.join('').replaceAll('\u0120', ' ').replaceAll('\u010a', '\n')
      let end = 0
      return { text, tokens, tokenEnds: pieces.map((piece) => (end += piece.length)) }
    },
  }
}

/** Checked by hand: a schema costs more than the rest for lists of ten thousand. */
function isListOf<T extends 'number' | 'string'>(
  value: unknown,
  type: T,
): value is (T extends 'number' ? number : string)[] {
  return Array.isArray(value) && value.every((item) => typeof item === type)
}

/** Token ids have no text: positions are those of their comma-separated form, as in the canonical prompt. */
function idsOnly(ids: readonly number[]): TokenizedPrompt {
  let end = -1
  const tokenEnds = ids.map((id) => (end += String(id).length + 1))
  return { text: ids.join(','), tokens: ids, tokenEnds }
}

/** Templates of text models take content as one string; vLLM joins text parts by line feeds. null for other parts. */
function flattenMessage(message: JsonObject): JsonObject | null {
  const { content } = message
  if (!Array.isArray(content)) return message
  const texts = (content as JsonObject[]).map((part) => (part['type'] === 'text' ? part['text'] : null))
  return texts.includes(null) ? null : { ...message, content: texts.join('\n') }
}

function tokenText(token: string | { content: string } | null | undefined): string {
  return typeof token === 'string' ? token : (token?.content ?? '')
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
