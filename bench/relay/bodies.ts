/** The conversations that the relay is measured with: 25 KB each, every other one with the same system prompt. */
import { syntheticWord } from '../../core/synthetic-words.ts'

export const RELAY_MODEL = 'isotherm-demo'
const CONVERSATIONS = 64
const BODY_BYTES = 25 * 1024
const SHARED_WORDS = 1500

interface Message {
  readonly role: string
  readonly content: string
}

export function conversations(): Message[][] {
  return Array.from({ length: CONVERSATIONS }, (_, i) => {
    const system = words(i % 2 === 0 ? 0 : i * 7919, SHARED_WORDS)
    const messages: Message[] = [{ role: 'system', content: system }]
    let bytes = system.length
    for (let turn = 0; bytes < BODY_BYTES - 300; turn++) {
      const content = words(i * 104_729 + turn * 577, Math.min(400, (BODY_BYTES - 200 - bytes) / 5))
      messages.push({ role: turn % 2 === 0 ? 'user' : 'assistant', content })
      bytes += content.length
    }
    return messages
  })
}

export function relayBody(messages: readonly Message[], isStream: boolean): string {
  return JSON.stringify({
    model: RELAY_MODEL,
    max_tokens: 64,
    temperature: 0.7,
    ...(isStream ? { stream: true, stream_options: { include_usage: true } } : {}),
    messages,
  })
}

function words(from: number, count: number): string {
  return Array.from({ length: count }, (_, at) => syntheticWord(from + at * 31)).join(' ')
}
