/**
 * An answer as the turn that the client sends back with its next request. Clients send it in one of several shapes, so an
 * answer with reasoning gives two turns: with it and without.
 */
import type { PromptApi } from '../../protocol/apis.ts'
import { isObject, type JsonObject } from '../handoff/json.ts'

export interface AnswerTurn {
  /** The request with the answer behind its messages. */
  readonly body: JsonObject
  /** Whose turn it is next. */
  readonly next: 'user' | 'tool'
}

/** `answer` is the whole answer as text, of one choice. Empty when it has no turn that could be sent back. */
export function answerTurns(
  api: PromptApi,
  body: JsonObject,
  answer: string,
  isStream: boolean,
): AnswerTurn[] {
  if (api !== 'chat' || !Array.isArray(body['messages'])) return []
  const message = isStream ? streamedMessage(answer) : wholeMessage(answer)
  if (!message) return []
  const { content, tool_calls: calls, reasoning } = message
  const plain: JsonObject = {
    role: 'assistant',
    content: content ?? null,
    ...(Array.isArray(calls) && calls.length > 0 ? { tool_calls: calls } : {}),
  }
  const isReasoned = typeof reasoning === 'string' && reasoning !== ''
  const turns = isReasoned ? [plain, { ...plain, reasoning }] : [plain]
  const next = 'tool_calls' in plain ? 'tool' : 'user'
  const messages: readonly unknown[] = body['messages']
  return turns.map((turn) => ({ body: { ...body, messages: [...messages, turn] }, next }))
}

function wholeMessage(answer: string): JsonObject | null {
  const choices = choicesOf(answer)
  const [choice] = choices
  return choices.length === 1 && isObject(choice) && isObject(choice['message']) ? choice['message'] : null
}

interface Call {
  id: unknown
  type: string
  function: { name: string; arguments: string }
}

/** The deltas of a stream put together. null when it is not one of chat chunks, or did not end. */
function streamedMessage(answer: string): JsonObject | null {
  let content = ''
  let reasoning = ''
  let isEnded = false
  const calls: Call[] = []
  for (const line of answer.split('\n')) {
    if (!line.startsWith('data: {')) continue
    for (const choice of choicesOf(line.slice('data: '.length))) {
      if (!isObject(choice) || choice['index'] !== 0 || !isObject(choice['delta'])) return null
      const { delta } = choice
      content += textOf(delta['content'])
      reasoning += textOf(delta['reasoning']) || textOf(delta['reasoning_content'])
      addCalls(calls, delta['tool_calls'])
      isEnded ||= typeof choice['finish_reason'] === 'string'
    }
  }
  return isEnded
    ? { content: content === '' && calls.length > 0 ? null : content, reasoning, tool_calls: calls }
    : null
}

function addCalls(calls: Call[], deltas: unknown): void {
  if (!Array.isArray(deltas)) return
  for (const delta of deltas as readonly unknown[]) {
    if (!isObject(delta)) continue
    const index = typeof delta['index'] === 'number' ? delta['index'] : calls.length
    // Calls come in order; a gap is nothing that a client would send back.
    if (index > calls.length || index < 0) continue
    const known = isObject(delta['function']) ? delta['function'] : {}
    const call = (calls[index] ??= {
      id: delta['id'],
      type: 'function',
      function: { name: '', arguments: '' },
    })
    call.function.name += textOf(known['name'])
    call.function.arguments += textOf(known['arguments'])
  }
}

function choicesOf(text: string): readonly unknown[] {
  try {
    const json: unknown = JSON.parse(text)
    return isObject(json) && Array.isArray(json['choices']) ? json['choices'] : []
  } catch {
    return []
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
