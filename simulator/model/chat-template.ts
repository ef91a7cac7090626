/**
 * The demo model's chat template, and a renderer that gives the same text without an interpreter. Tools are one system
 * line of JSON in front; a message that called tools shows the calls as JSON behind its content.
 */

/** Jinja source, for `tokenizer_config.json`. */
export const CHAT_TEMPLATE = [
  `{%- if tools %}{{ '<|im_start|>system\\nTools: ' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}`,
  `{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}`,
  `{%- if message.content %}{{ message.content }}{% endif %}`,
  `{%- if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}`,
  `{{- '<|im_end|>\\n' }}{% endfor %}`,
  `{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`,
].join('')

/** A message as templates see it: content parts are joined already. */
export interface TemplateMessage {
  readonly role: string
  readonly content: string | null
  readonly toolCalls?: unknown
}

/** What `CHAT_TEMPLATE` renders. */
export function renderChat(
  messages: readonly TemplateMessage[],
  tools: readonly unknown[] | null,
  addGenerationPrompt: boolean,
): string {
  const parts: string[] = []
  if (tools !== null && tools.length > 0) {
    parts.push(`<|im_start|>system\nTools: ${pythonJson(tools)}<|im_end|>\n`)
  }
  for (const { role, content, toolCalls } of messages) {
    parts.push('<|im_start|>', role, '\n', content ?? '')
    if (Array.isArray(toolCalls) && toolCalls.length > 0) parts.push(pythonJson(toolCalls))
    parts.push('<|im_end|>\n')
  }
  if (addGenerationPrompt) parts.push('<|im_start|>assistant\n')
  return parts.join('')
}

/** JSON with Python's spaces after `,` and `:`, as `tojson` writes it. */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${pythonJson(item)}`)
    return `{${entries.join(', ')}}`
  }
  return JSON.stringify(value) ?? 'null'
}
