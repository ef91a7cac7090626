/** Chat messages from the wire: content parts are joined by line breaks, as vLLM does for templates of plain strings. */
import type { TemplateMessage } from '../model/chat-template.ts'
import { isObject, type FieldReader } from './field-reader.ts'

const MESSAGES_MAX = 10_000

/** Reads `messages`; what is wrong goes to the reader's issues. */
export function readMessages(fields: FieldReader): readonly TemplateMessage[] {
  if (fields.raw('messages') === null) {
    fields.missing('messages')
    return []
  }
  const messages = fields.array('messages')
  if (messages === null) return []
  if (messages.length > MESSAGES_MAX) {
    fields.reject('messages', 'too_long', `List should have at most ${MESSAGES_MAX} items`)
    return []
  }
  return messages.flatMap((message, i) => {
    if (!isObject(message) || typeof message['role'] !== 'string') {
      const path = ['body', 'messages', i, 'role']
      fields.issues.push({ type: 'missing', path, message: 'Field required', input: message })
      return []
    }
    return [
      { role: message['role'], content: joinContent(message['content']), toolCalls: message['tool_calls'] },
    ]
  })
}

/** Images and the like leave a mark of their own: the simulated model sees that they are there, not what they show. */
function joinContent(content: unknown): string | null {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return null
  return content
    .map((part: unknown) => {
      if (typeof part === 'string') return part
      if (!isObject(part)) return ''
      return typeof part['text'] === 'string' ? part['text'] : `<${String(part['type'])}>`
    })
    .join('\n')
}
