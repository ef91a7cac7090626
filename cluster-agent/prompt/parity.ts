/**
 * Whether our rendering and tokenising of a model is the engine's: sample requests, each for one aspect of a prompt, and the
 * name of what differs. A request is understood from files only where all its aspects agree.
 */
import type { PromptApi } from '../../protocol/apis.ts'
import { isObject, type JsonObject } from '../handoff/json.ts'

export type Aspect = 'text' | 'chat' | 'tools' | 'tool-calls' | 'reasoning' | 'parts'

/** `unknown`: no engine has said yet, or it refuses the sample; files are believed. */
export type Parity = 'unknown' | 'same' | 'different'

export interface ParitySample {
  readonly aspect: Aspect
  readonly api: PromptApi
  readonly body: JsonObject
}

/** What a person is told of an aspect that differs. */
export const DIAGNOSES: Readonly<Record<Aspect, string>> = {
  text: 'tokenizer files differ from the engine: other tokenizer.json, or another add_special_tokens',
  chat: 'chat template differs from the engine: --chat-template, or another model revision',
  tools: 'tools are rendered otherwise by the engine: another template or tool format',
  'tool-calls': 'tool calls are rendered otherwise by the engine',
  reasoning: 'reasoning of earlier turns is rendered otherwise by the engine',
  parts: 'content parts are joined otherwise by the engine: --chat-template-content-format',
}

const TEXT = 'Dr. Müller’s 2,048 tests:\n\n  – "prefix"\t→ 前缀缓存 🙂 don\'t  stop.\n'
const TOOL = {
  type: 'function',
  function: {
    name: 'find',
    description: 'Finds — things',
    parameters: { type: 'object', properties: { what: { type: 'string' } }, required: ['what'] },
  },
}
const ASKED = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: TEXT },
]
const CALLED = {
  role: 'assistant',
  content: 'Looking.',
  tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'find', arguments: '{"what": "x"}' } }],
}

export const PARITY_SAMPLES: readonly ParitySample[] = [
  { aspect: 'text', api: 'completions', body: { prompt: TEXT } },
  {
    aspect: 'chat',
    api: 'chat',
    body: {
      messages: [...ASKED, { role: 'assistant', content: 'Yes.' }, { role: 'user', content: 'More?' }],
    },
  },
  { aspect: 'tools', api: 'chat', body: { messages: ASKED, tools: [TOOL] } },
  {
    aspect: 'tool-calls',
    api: 'chat',
    body: { messages: [...ASKED, CALLED, { role: 'tool', tool_call_id: 'call_1', content: 'found' }] },
  },
  {
    aspect: 'reasoning',
    api: 'chat',
    body: {
      messages: [
        ...ASKED,
        { ...CALLED, reasoning: 'Hm.' },
        { role: 'tool', tool_call_id: 'call_1', content: '1' },
      ],
    },
  },
  {
    aspect: 'parts',
    api: 'chat',
    body: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'One.' },
            { type: 'text', text: 'Two.' },
          ],
        },
      ],
    },
  },
]

/** The aspects of a prompt in the form of chat, or of a plain one. */
export function aspectsOf(api: PromptApi, { messages, tools }: JsonObject): Aspect[] {
  if (api === 'completions') return ['text']
  const aspects: Aspect[] = ['chat']
  if (Array.isArray(tools) && tools.length > 0) aspects.push('tools')
  const all = Array.isArray(messages) ? messages.filter(isObject) : []
  if (all.some((message) => 'tool_calls' in message || message['role'] === 'tool')) aspects.push('tool-calls')
  if (all.some((message) => message['reasoning'] || message['reasoning_content'])) aspects.push('reasoning')
  if (all.some(({ content }) => Array.isArray(content) && content.length > 1)) aspects.push('parts')
  return aspects
}

export function compareTokens(ours: ArrayLike<number> | null, theirs: ArrayLike<number> | null): Parity {
  if (!ours || !theirs) return 'unknown'
  if (ours.length !== theirs.length) return 'different'
  for (let i = 0; i < ours.length; i++) if (ours[i] !== theirs[i]) return 'different'
  return 'same'
}
