/**
 * From logged prompts to block ids. The product's canonical bytes are cut into blocks of equal size and the running keyed
 * hash is read at the end of each, so equal ids at the start of two prompts are text that they share. Only ids are kept.
 */
import { hashPrefixes, type HashKey } from '../../core/half-sip-hash.ts'
import { keyNumber } from '../../core/key-number.ts'
import { MESSAGE_ENDS_FIRST, MESSAGE_ENDS_LAST } from '../../core/prefix-markers.ts'
import { PromptWriter, type CanonicalPrompt, type Utf8Encoder } from '../../core/prompt-bytes.ts'
import type { PlayedRequest } from '../workload/trace.ts'
import type { LogRequest } from './log-line.ts'

/** Tokens of a block: the simulated engines' size, a quarter of a kilobyte of English. */
export const LOG_BLOCK_TOKENS = 64
/** Answers whose length nobody logged. */
export const OUTPUT_TOKENS_DEFAULT = 250
/** A completion without a session is told by its beginning. */
const SESSION_BYTES_MAX = 2048
const OUTPUT_TOKENS_MAX = 131_072

export type Hashed =
  | { readonly ok: true; readonly request: PlayedRequest; readonly isAnswerGuessed: boolean }
  | { readonly ok: false; readonly problem: string }

export interface PromptSize {
  readonly bytes: number
  readonly tokens: number
}

export class LogHasher {
  private readonly writer: PromptWriter
  private readonly bytesPerToken: number
  private readonly encoder: Utf8Encoder
  private readonly blocks = new Map<number, number>()
  private readonly sessions = new Map<string, number>()
  private readonly keys = new Map<string, HashKey>()

  constructor(encoder: Utf8Encoder, bytesPerToken: number) {
    this.encoder = encoder
    this.writer = new PromptWriter(encoder)
    this.bytesPerToken = bytesPerToken
  }

  /** Distinct blocks so far. */
  get blockCount(): number {
    return this.blocks.size
  }

  hash(log: LogRequest, timestampMs: number): Hashed {
    const { api, model, body, answer, usage } = log
    const whole = wholeBody(log)
    const prompt = this.writer.write(api, model, body)
    if (!prompt.ok) return { ok: false, problem: prompt.message }
    const promptBytes = prompt.prompt.bytes.length
    const key = this.keyOf(log.tenant)
    const ends = prompt.prompt.messageEnds
    const session = this.sessionOf(log, prompt.prompt, key)
    const inputTokens = Math.max(Math.round(promptBytes / this.bytesPerToken), 1)
    const written = whole === null ? prompt : this.writer.write(api, model, whole)
    const { bytes } = written.ok ? written.prompt : prompt.prompt
    const answerTokens = Math.round((bytes.length - promptBytes) / this.bytesPerToken)
    const outputTokens = usage.outputTokens ?? (answerTokens > 0 ? answerTokens : OUTPUT_TOKENS_DEFAULT)
    const blockBytes = this.bytesPerToken * LOG_BLOCK_TOKENS
    return {
      ok: true,
      isAnswerGuessed: usage.outputTokens === null && answer === null,
      request: {
        timestampMs,
        inputTokens,
        outputTokens: Math.min(Math.max(outputTokens, 1), OUTPUT_TOKENS_MAX),
        blockIds: this.blocksOf(bytes, blockBytes, key),
        session,
        ends: toldEnds(ends).map((end) => Math.floor(end / blockBytes)),
        knowsAnswer: bytes.length > promptBytes,
      },
    }
  }

  private blocksOf(bytes: Uint8Array, blockBytes: number, key: HashKey): number[] {
    const count = Math.floor(bytes.length / blockBytes)
    const offsets = Array.from({ length: count }, (_, i) => Math.floor((i + 1) * blockBytes))
    const words = hashPrefixes(bytes, offsets, key)
    return offsets.map((_, i) => {
      const id = keyNumber(words[i * 3 + 1] ?? 0, words[i * 3 + 2] ?? 0)
      const known = this.blocks.get(id)
      if (known !== undefined) return known
      this.blocks.set(id, this.blocks.size)
      return this.blocks.size - 1
    })
  }

  /** By name; otherwise by everything up to the end of the first user message, as sticky routers without an id do. */
  private sessionOf({ session, body, tenant }: LogRequest, prompt: CanonicalPrompt, key: HashKey): number {
    let name = `${tenant}\n${session ?? ''}`
    if (session === null) {
      const { messages } = body
      const roles = Array.isArray(messages) ? messages.map((message: { role?: unknown }) => message.role) : []
      const first = roles.indexOf('user')
      const end = prompt.messageEnds[first] ?? Math.min(prompt.bytes.length, SESSION_BYTES_MAX)
      const [, low = 0, high = 0] = hashPrefixes(prompt.bytes, [end], key)
      name = `${high} ${low}`
    }
    const known = this.sessions.get(name)
    if (known !== undefined) return known
    this.sessions.set(name, this.sessions.size)
    return this.sessions.size - 1
  }

  /** Tenants share no blocks: each has a key of its own, which leaves this process as little as the prompts do. */
  private keyOf(tenant: string): HashKey {
    const known = this.keys.get(tenant)
    if (known) return known
    const bytes = new Uint8Array(tenant.length * 3)
    const { written } = this.encoder.encodeInto(tenant, bytes)
    const [, lo = 0, hi = 0] = hashPrefixes(bytes, [written], { lo: 0x6973_6f74, hi: 0x6865_726d })
    const key = { lo, hi }
    this.keys.set(tenant, key)
    return key
  }
}

/** The prompt as the next turn of its conversation would begin; null where that is not known. */
function wholeBody({ api, body, answer }: LogRequest): LogRequest['body'] | null {
  if (answer === null) return null
  if (api === 'chat') {
    const { messages } = body
    return typeof answer === 'object' && Array.isArray(messages)
      ? { ...body, messages: [...(messages as unknown[]), answer] }
      : null
  }
  const { prompt } = body
  return typeof answer === 'string' && typeof prompt === 'string'
    ? { ...body, prompt: prompt + answer }
    : null
}

/** The message ends at which the product has markers. */
function toldEnds(ends: readonly number[]): readonly number[] {
  if (ends.length <= MESSAGE_ENDS_FIRST + MESSAGE_ENDS_LAST) return ends
  return [...ends.slice(0, MESSAGE_ENDS_FIRST), ...ends.slice(-MESSAGE_ENDS_LAST)]
}

/** Canonical bytes and reported tokens of one line, or null where the line does not tell both. */
export function promptSize(writer: PromptWriter, { api, model, body, usage }: LogRequest): PromptSize | null {
  if (!usage.promptTokens) return null
  const written = writer.write(api, model, body)
  return written.ok ? { bytes: written.prompt.bytes.length, tokens: usage.promptTokens } : null
}
