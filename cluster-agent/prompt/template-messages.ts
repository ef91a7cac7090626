/**
 * Messages and tools in the form in which vLLM hands them to a chat template (`renderers/chat_utils.py` of 0.32): parts joined
 * or listed, arguments of tool calls parsed, fields that it does not know left out.
 */
import { systemText } from '../../core/system-text.ts'
import { isObject, type JsonObject } from '../handoff/json.ts'

/** `string`: the template takes content as text. `parts`: it goes through content parts itself. */
export type ContentFormat = 'string' | 'parts'

export interface TemplateMessages {
  readonly messages: readonly JsonObject[]
  /** Something came that has no text of its own, an image for one: what follows `mark` in the rendered prompt is not known. */
  readonly isCut: boolean
}

/** A loop over content, as vLLM looks for it to tell the format. */
const PARTS_LOOP = /\{%-?\s*for\s+\w+\s+in\s+(?:\w+\.content|\w+\[['"]content['"]\]|content)\s*[|%-]/

export function contentFormatOf(template: string): ContentFormat {
  return PARTS_LOOP.test(template) ? 'parts' : 'string'
}

/** `mark` stands for the first part that is no text; the messages end with it. null for what is no list of messages. */
export function templateMessages(
  messages: unknown,
  format: ContentFormat,
  mark: string,
): TemplateMessages | null {
  if (!Array.isArray(messages)) return null
  const out: JsonObject[] = []
  for (const message of messages as readonly unknown[]) {
    if (!isObject(message) || typeof message['role'] !== 'string') return null
    const { role } = message
    // Results of tools are text for every template.
    const content = contentOf(
      message['content'],
      role === 'tool' ? 'string' : format,
      mark,
      role === 'system',
    )
    out.push({ ...fieldsOf(message), content: content.value })
    if (content.isCut) return { messages: out, isCut: true }
  }
  return { messages: out, isCut: false }
}

/**
 * vLLM validates tools before they reach the template: fields that a client left out are there as null, others are gone. They
 * are rendered whatever `tool_choice` says, unless the engine runs with --exclude-tools-when-tool-choice-none.
 */
export function templateTools({ tools }: JsonObject): unknown {
  if (!Array.isArray(tools) || tools.length === 0) return undefined
  return (tools as readonly unknown[]).map((tool) => {
    const known = isObject(tool) ? tool['function'] : null
    if (!isObject(tool) || !isObject(known)) return tool
    const { name, description, parameters, strict } = known
    const deferred = known['defer_loading'] ?? tool['defer_loading'] ?? null
    const whole = {
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      ...(strict === undefined || strict === null ? {} : { strict }),
      ...(deferred === null ? {} : { defer_loading: deferred }),
    }
    const own = tool['defer_loading'] ?? null
    return { type: 'function', function: whole, ...(own === null ? {} : { defer_loading: own }) }
  })
}

function contentOf(
  content: unknown,
  format: ContentFormat,
  mark: string,
  isSystem: boolean,
): { readonly value: unknown; readonly isCut: boolean } {
  const parts: readonly unknown[] = Array.isArray(content)
    ? content
    : content === null || content === undefined
      ? []
      : [content]
  const texts: string[] = []
  for (const part of parts) {
    const text = textOf(part)
    // Templates of text models get placeholders before the text of their message, so all of it moves.
    if (text === null)
      return { value: shape(format === 'parts' ? [...texts, mark] : [mark], format), isCut: true }
    const kept = isSystem ? systemText(text) : text
    if (kept !== null) texts.push(kept)
  }
  return { value: shape(texts, format), isCut: false }
}

function shape(texts: readonly string[], format: ContentFormat): unknown {
  return format === 'parts' ? texts.map((text) => ({ type: 'text', text })) : texts.join('\n')
}

function textOf(part: unknown): string | null {
  if (typeof part === 'string') return part
  if (!isObject(part)) return null
  const isText = part['type'] === 'text' || part['type'] === 'input_text' || part['type'] === 'refusal'
  const text = part[part['type'] === 'refusal' ? 'refusal' : 'text']
  return isText && typeof text === 'string' ? text : null
}

function fieldsOf(message: JsonObject): JsonObject {
  const { role, name, tool_calls: calls, tool_call_id: callId } = message
  const fields: Record<string, unknown> = { role }
  if (typeof name === 'string') fields['name'] = name
  if (role === 'developer') fields['tools'] = message['tools'] ?? null
  if (role === 'tool' && callId !== undefined) fields['tool_call_id'] = callId
  if (role !== 'assistant') return fields
  if (Array.isArray(calls) && calls.length > 0) fields['tool_calls'] = calls.map(parsedCall)
  const reasoning = message['reasoning'] ?? message['reasoning_content']
  if (reasoning !== undefined && reasoning !== null) {
    // Templates know one name or the other.
    fields['reasoning'] = reasoning
    fields['reasoning_content'] = reasoning
  }
  return fields
}

/** Templates write arguments as JSON themselves: they get the object, not its text. */
function parsedCall(call: unknown): unknown {
  const known = isObject(call) ? call['function'] : null
  if (!isObject(call) || !isObject(known)) return call
  return { ...call, function: { ...known, arguments: parsedArguments(known['arguments']) } }
}

/** What is no object becomes an empty one, so that a conversation can go on. */
function parsedArguments(given: unknown): JsonObject {
  if (typeof given !== 'string') return isObject(given) ? given : {}
  try {
    const parsed: unknown = JSON.parse(given)
    return isObject(parsed) ? parsed : {}
  } catch {
    return {}
  }
}
