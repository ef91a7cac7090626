/**
 * The canonical bytes of a prompt: what the engine's prefix depends on, in the order in which chat templates render
 * it. Appending a turn only appends bytes. Structure is marked by bytes that UTF-8 never contains (0xF5 to 0xFF), so
 * no text can imitate it.
 *
 *     F8 model  (F9 name F9 JSON)*  then for each message:  FA role  (FB text | FC JSON | FD name FD JSON)*  FF
 *
 * The share scope is not in the bytes: it is the key of the hash. Responses and Messages are brought to the form of chat.
 */
import type { PromptApi } from '../protocol/apis.ts'
import { chatForm } from './chat-form.ts'
import { systemText } from './system-text.ts'

export type { PromptApi } from '../protocol/apis.ts'

/** `TextEncoder` satisfies it; pure code has none. */
export interface Utf8Encoder {
  encodeInto(source: string, destination: Uint8Array): { read: number; written: number }
}

/** A piece of prompt text that templates render verbatim. */
export interface TextSegment {
  /** Where its UTF-8 bytes start in the canonical prompt. */
  readonly offsetBytes: number
  readonly bytes: number
  readonly text: string
}

export interface CanonicalPrompt {
  /** A view of the writer's buffer: valid until its next prompt. */
  readonly bytes: Uint8Array
  /** Byte offsets just after each message, rising. */
  readonly messageEnds: readonly number[]
  readonly segments: readonly TextSegment[]
}

export type PromptResult =
  | { readonly ok: true; readonly prompt: CanonicalPrompt }
  | { readonly ok: false; readonly param: string; readonly message: string }

const TAG_MODEL = 0xf8
const TAG_FIELD = 0xf9
const TAG_ROLE = 0xfa
const TAG_TEXT = 0xfb
const TAG_PART = 0xfc
const TAG_MESSAGE_FIELD = 0xfd
const TAG_MESSAGE_END = 0xff

/** Request fields that change how a chat prompt renders before its first message, or throughout. */
const CHAT_FIELDS = [
  'tools',
  'documents',
  'chat_template',
  'chat_template_kwargs',
  'reasoning_effort',
  'add_special_tokens',
  'truncate_prompt_tokens',
  'truncation_side',
  // What an engine keeps of earlier turns comes before everything that the request says.
  'previous_response_id',
] as const
const PROMPT_FIELDS = ['add_special_tokens', 'truncate_prompt_tokens', 'truncation_side'] as const
/** Message fields beside role and content that templates render. */
const MESSAGE_FIELDS = [
  'name',
  'reasoning',
  'reasoning_content',
  'tool_calls',
  'tool_call_id',
  'function_call',
] as const

/** Up to here a text, such as each message's role, is written sooner than the platform is called. */
const SHORT_CHARS_MAX = 24

type JsonObject = Readonly<Record<string, unknown>>
interface Problem {
  readonly param: string
  readonly message: string
}

/** Writes prompts into one buffer that grows to the largest of them and is used again. */
export class PromptWriter {
  readonly #encoder: Utf8Encoder
  #buffer = new Uint8Array(64 * 1024)
  #length = 0
  #messageEnds: number[] = []
  #segments: TextSegment[] = []

  constructor(encoder: Utf8Encoder) {
    this.#encoder = encoder
  }

  /** `model` is the name that the engine serves; `body` is the parsed request. */
  write(api: PromptApi, model: string, body: JsonObject): PromptResult {
    this.#length = 0
    this.#messageEnds = []
    this.#segments = []
    this.#byte(TAG_MODEL)
    this.#text(model)
    const problem = this.#writeBody(api, body)
    if (problem) return { ok: false, param: problem.param, message: problem.message }
    return {
      ok: true,
      prompt: {
        bytes: this.#buffer.subarray(0, this.#length),
        messageEnds: this.#messageEnds,
        segments: this.#segments,
      },
    }
  }

  #writeBody(api: PromptApi, body: JsonObject): Problem | null {
    if (api === 'completions') return this.#writePrompt(body, 'prompt')
    if (api === 'embeddings' && !('messages' in body)) return this.#writePrompt(body, 'input')
    const form = chatForm(api, body)
    return form.ok ? this.#writeChat(form.body) : form
  }

  #writeChat(body: JsonObject): Problem | null {
    const { messages } = body
    if (!Array.isArray(messages) || messages.length === 0) {
      return { param: 'messages', message: "'messages' must be a non-empty array." }
    }
    this.#fields(TAG_FIELD, CHAT_FIELDS, body)
    for (const [index, message] of messages.entries()) {
      if (!isObject(message) || typeof message['role'] !== 'string') {
        return {
          param: `messages[${index}]`,
          message: `'messages[${index}]' must be an object with a 'role'.`,
        }
      }
      this.#byte(TAG_ROLE)
      this.#text(message['role'])
      this.#content(message['content'], message['role'] === 'system')
      this.#fields(TAG_MESSAGE_FIELD, MESSAGE_FIELDS, message)
      this.#endMessage()
    }
    return null
  }

  /** Of several prompts in one request the first decides: they are answered in one place. */
  #writePrompt(body: JsonObject, param: 'prompt' | 'input'): Problem | null {
    this.#fields(TAG_FIELD, PROMPT_FIELDS, body)
    const prompt = body[param]
    const first: unknown = Array.isArray(prompt) && typeof prompt[0] !== 'number' ? prompt[0] : prompt
    if (typeof first === 'string') this.#segment(first)
    else if (Array.isArray(first) && first.every((token) => Number.isInteger(token)))
      this.#segment(first.join(','))
    else return { param, message: `'${param}' must be a string, an array of strings, or token ids.` }
    this.#endMessage()
    return null
  }

  #content(content: unknown, isSystem: boolean): void {
    if (content === null || content === undefined) return
    for (const part of Array.isArray(content) ? content : [content]) {
      const isText = isObject(part) && part['type'] === 'text'
      const text: unknown = isText ? part['text'] : part
      if (typeof text === 'string') {
        const kept = isSystem ? systemText(text) : text
        if (kept !== null) this.#segment(kept)
      } else {
        this.#byte(TAG_PART)
        this.#text(JSON.stringify(part))
      }
    }
  }

  #fields(tag: number, names: readonly string[], from: JsonObject): void {
    for (const name of names) {
      const value = from[name]
      if (value === undefined || value === null) continue
      this.#byte(tag)
      this.#text(name)
      this.#byte(tag)
      this.#text(JSON.stringify(value))
    }
  }

  #segment(text: string): void {
    this.#byte(TAG_TEXT)
    const offsetBytes = this.#length
    this.#text(text)
    this.#segments.push({ offsetBytes, bytes: this.#length - offsetBytes, text })
  }

  #endMessage(): void {
    this.#byte(TAG_MESSAGE_END)
    this.#messageEnds.push(this.#length)
  }

  #byte(value: number): void {
    this.#reserve(1)
    this.#buffer[this.#length++] = value
  }

  #text(text: string): void {
    this.#reserve(text.length * 3)
    if (text.length <= SHORT_CHARS_MAX && this.#ascii(text)) return
    this.#length += this.#encoder.encodeInto(text, this.#buffer.subarray(this.#length)).written
  }

  /** false, and nothing is written, when the text is not all ASCII. */
  #ascii(text: string): boolean {
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit > 0x7f) return false
      this.#buffer[this.#length + i] = unit
    }
    this.#length += text.length
    return true
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + bytes))
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = grown
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
