/** A model's chat template: from a request in the form of chat to the text that the engine tokenises. */
import { Template } from '@huggingface/jinja'
import { isObject, type JsonObject } from '../handoff/json.ts'
import { contentFormatOf, templateMessages, templateTools, type ContentFormat } from './template-messages.ts'

export interface RenderedPrompt {
  readonly text: string
  /** Up to where the text is that of the request, in UTF-16 units; what follows stands for something that is not known. */
  readonly knownUnits: number
}

/** Private use: no client's text holds it but on purpose, and then less is known. */
const MARK = '\ue0ff'

/** Fields that vLLM hands to templates under their own names. */
const FIELDS = ['documents', 'reasoning_effort'] as const

export class ChatTemplate {
  readonly #template: Template
  readonly #format: ContentFormat
  readonly #specials: JsonObject

  /** Throws what the template's parser throws. `specials`: `bos_token` and the like. */
  constructor(source: string, specials: JsonObject) {
    this.#template = new Template(source)
    this.#format = contentFormatOf(source)
    this.#specials = specials
  }

  /**
   * null for requests whose text cannot be told from here: templates of their own, truncation, answers to be continued.
   * `next`: the role of a message that follows and is not known yet. Throws what the template raises.
   */
  render(request: JsonObject, next: 'user' | 'tool' | null): RenderedPrompt | null {
    const isForeign =
      request['chat_template'] !== undefined ||
      request['continue_final_message'] === true ||
      isNumber(request['truncate_prompt_tokens']) ||
      request['previous_response_id'] !== undefined
    if (isForeign) return null
    const given = request['messages']
    const all = next && Array.isArray(given) ? [...given, { role: next, content: MARK }] : given
    const shaped = templateMessages(all, this.#format, MARK)
    if (!shaped) return null
    const kwargs = request['chat_template_kwargs']
    const effort = request['reasoning_effort'] ?? null
    const text = this.#template.render({
      ...this.#specials,
      tools: templateTools(request),
      ...Object.fromEntries(FIELDS.map((name) => [name, request[name] ?? undefined])),
      messages: shaped.messages,
      add_generation_prompt: next === null && request['add_generation_prompt'] !== false,
      // Who asks for an effort asks for thought, unless the request says otherwise.
      ...(effort === null ? {} : { enable_thinking: effort !== 'none' }),
      ...(isObject(kwargs) ? kwargs : {}),
    })
    if (!shaped.isCut && next === null) return { text, knownUnits: text.length }
    const mark = next ? text.lastIndexOf(MARK) : text.indexOf(MARK)
    return { text, knownUnits: Math.max(mark, 0) }
  }
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number'
}
