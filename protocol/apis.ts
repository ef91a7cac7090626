/**
 * The APIs that are routed, by path: the same paths at the edge, at an agent and at an engine. A table and no more: what
 * each prompt looks like is in core/chat-form.ts, how each is told of faults in dialect.ts.
 */
import type { Dialect } from './dialect.ts'

/** What a request's prompt looks like. */
export type PromptApi = 'chat' | 'completions' | 'responses' | 'messages' | 'embeddings'

export interface RoutedApi {
  readonly prompt: PromptApi
  readonly dialect: Dialect
  /** Whether tokens come of it: only then it streams, leaves KV behind and can be handed off. */
  readonly generates: boolean
}

export const APIS: ReadonlyMap<string, RoutedApi> = new Map<string, RoutedApi>([
  ['/v1/chat/completions', { prompt: 'chat', dialect: 'openai', generates: true }],
  ['/v1/completions', { prompt: 'completions', dialect: 'openai', generates: true }],
  ['/v1/responses', { prompt: 'responses', dialect: 'responses', generates: true }],
  ['/v1/messages', { prompt: 'messages', dialect: 'anthropic', generates: true }],
  ['/v1/messages/count_tokens', { prompt: 'messages', dialect: 'anthropic', generates: false }],
  ['/v1/embeddings', { prompt: 'embeddings', dialect: 'openai', generates: false }],
])

/** The dialect of a path that is not in the table, such as a mistyped one. */
export function dialectOf(path: string): Dialect {
  return APIS.get(path)?.dialect ?? (path.startsWith('/v1/messages') ? 'anthropic' : 'openai')
}
