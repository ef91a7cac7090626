/**
 * Every API that holds a conversation, brought to the form of chat completions, message for message: a prompt is known by
 * the same bytes, and rendered by the same template, whichever API it comes by. Engines convert likewise. An item becomes
 * messages of its own, never a part of the one before, so appending items only appends messages.
 */
import type { PromptApi } from '../protocol/apis.ts'

type JsonObject = Readonly<Record<string, unknown>>

export type ChatForm =
  | { readonly ok: true; readonly body: JsonObject }
  | { readonly ok: false; readonly param: string; readonly message: string }

/** `body` as a chat completion request of which only what the prompt depends on counts. Never changes `body`. */
export function chatForm(api: PromptApi, body: JsonObject): ChatForm {
  if (api === 'messages') return fromMessages(body)
  if (api === 'responses') return fromResponses(body)
  return { ok: true, body }
}

function fromMessages(body: JsonObject): ChatForm {
  const { system, messages, tools, ...rest } = body
  if (!Array.isArray(messages) || messages.length === 0) {
    return { ok: false, param: 'messages', message: 'messages: Field required, a non-empty array' }
  }
  const chat: JsonObject[] = []
  if (system !== undefined && system !== null) chat.push({ role: 'system', content: blocksToParts(system) })
  for (const [index, message] of messages.entries()) {
    if (!isObject(message) || typeof message['role'] !== 'string') {
      const param = `messages[${index}]`
      return { ok: false, param, message: `messages.${index}.role: Field required` }
    }
    chat.push(...fromMessage(message['role'], message['content']))
  }
  return { ok: true, body: { ...rest, ...toolsOf(tools), messages: chat } }
}

/** Results of tools are messages of their own, before the words beside them. */
function fromMessage(role: string, content: unknown): JsonObject[] {
  if (!Array.isArray(content)) return [{ role, content }]
  const blocks: readonly unknown[] = content
  const results = blocks.filter((block) => typeOf(block) === 'tool_result') as JsonObject[]
  const calls = blocks.filter((block) => typeOf(block) === 'tool_use') as JsonObject[]
  const thoughts = blocks.flatMap((block) =>
    isObject(block) && block['type'] === 'thinking' ? [String(block['thinking'])] : [],
  )
  const aside = new Set(['tool_result', 'tool_use', 'thinking', 'redacted_thinking'])
  const words = blocks.filter((block) => !aside.has(typeOf(block)))
  const said: JsonObject[] = results.map(({ tool_use_id: id, content: result }) => ({
    role: 'tool',
    tool_call_id: id,
    content: blocksToParts(result),
  }))
  if (results.length > 0 && words.length + calls.length === 0) return said
  said.push({
    role,
    content: words.length > 0 ? blocksToParts(words) : null,
    ...(thoughts.length > 0 ? { reasoning: thoughts.join('') } : {}),
    ...(calls.length > 0
      ? { tool_calls: calls.map(({ id, name, input }) => call(id, name, JSON.stringify(input ?? {}))) }
      : {}),
  })
  return said
}

function fromResponses(body: JsonObject): ChatForm {
  const { instructions, input, tools, reasoning, ...rest } = body
  const wrong: ChatForm = {
    ok: false,
    param: 'input',
    message: "'input' must be a string or a non-empty array of items.",
  }
  const isEmpty = Array.isArray(input) && input.length === 0
  if ((typeof input !== 'string' && !Array.isArray(input)) || isEmpty) return wrong
  const chat: JsonObject[] = []
  if (typeof instructions === 'string') chat.push({ role: 'system', content: instructions })
  if (typeof input === 'string') chat.push({ role: 'user', content: input })
  else
    for (const item of input as readonly unknown[]) {
      if (!isObject(item)) return wrong
      chat.push(fromItem(item))
    }
  const effort = isObject(reasoning) ? { reasoning_effort: reasoning['effort'] } : {}
  return { ok: true, body: { ...rest, ...effort, ...toolsOf(tools), messages: chat } }
}

function fromItem(item: JsonObject): JsonObject {
  const { type, role, content, call_id: id } = item
  if (type === 'function_call') {
    return { role: 'assistant', content: null, tool_calls: [call(id, item['name'], item['arguments'])] }
  }
  if (type === 'function_call_output') {
    return { role: 'tool', tool_call_id: id, content: blocksToParts(item['output']) }
  }
  if (type === 'reasoning') {
    return { role: 'assistant', content: null, reasoning: JSON.stringify(content ?? item['summary'] ?? null) }
  }
  if (typeof role === 'string') return { role, content: blocksToParts(content) }
  // Items of a kind that no template renders count as they are.
  return { role: typeof type === 'string' ? type : 'user', content: [item] }
}

/** Content blocks and input parts as the parts of a chat message. */
function blocksToParts(content: unknown): unknown {
  if (!Array.isArray(content)) return content
  return content.map((block: unknown) => {
    if (!isObject(block)) return block
    const { type, text, source, image_url: url } = block
    const isText = type === 'text' || type === 'input_text' || type === 'output_text'
    if (isText && typeof text === 'string') return { type: 'text', text }
    if (type === 'input_image') return { type: 'image_url', image_url: { url } }
    if (type === 'image' && isObject(source))
      return { type: 'image_url', image_url: { url: imageUrl(source) } }
    return block
  })
}

function imageUrl({ type, media_type: mediaType, data, url }: JsonObject): unknown {
  return type === 'base64' ? `data:${String(mediaType)};base64,${String(data)}` : url
}

function toolsOf(tools: unknown): JsonObject {
  if (!Array.isArray(tools) || tools.length === 0) return {}
  return {
    tools: tools.map((tool: unknown) => {
      if (!isObject(tool)) return tool
      const { type, name, description, input_schema: schema, parameters } = tool
      if (typeof name !== 'string' || (type !== 'function' && schema === undefined)) return tool
      return { type: 'function', function: { name, description, parameters: schema ?? parameters } }
    }),
  }
}

function call(id: unknown, name: unknown, args: unknown): JsonObject {
  return { id, type: 'function', function: { name, arguments: args } }
}

function typeOf(block: unknown): string {
  return isObject(block) && typeof block['type'] === 'string' ? block['type'] : ''
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
