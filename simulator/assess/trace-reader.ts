/**
 * A trace or log, line by line, as requests to be played: Mooncake's format, or OpenAI-style logs. A line that cannot be
 * read is counted and named and the others are played; nothing of a prompt is kept but the ids of its blocks.
 */
import { BLOCK_TOKENS, parseTraceLine } from '../../cli/replay/trace.ts'
import { PromptWriter, type Utf8Encoder } from '../../core/prompt-bytes.ts'
import { BYTES_PER_TOKEN } from '../policies/markers.ts'
import type { PlayedRequest } from '../workload/trace.ts'
import { LOG_BLOCK_TOKENS, LogHasher, promptSize } from './log-hasher.ts'
import { readLogLine } from './log-line.ts'

export interface ReaderOptions {
  readonly encoder: Utf8Encoder
  /** Only requests for this model. */
  readonly model?: string
  /** Requests a second of a log without times. */
  readonly ratePerS?: number
  /** Canonical prompt bytes a token, from `BytesPerToken`. */
  readonly bytesPerToken?: number
}

export interface ReadTrace {
  readonly format: 'mooncake' | 'openai'
  /** By time, from 0. */
  readonly requests: readonly PlayedRequest[]
  readonly blockTokens: number
  readonly malformed: Malformed
  /** Why reading ended before the file did, or null. */
  readonly cut: string | null
  readonly models: readonly string[]
  /** Requests whose answer's length is a guess, as logs had neither usage nor answer. */
  readonly guessedAnswers: number
  /** Share of prompt tokens that the logs themselves report as cached, where they report both; null when none does. */
  readonly cachedShareToday: number | null
  readonly bytesPerToken: number | null
}

export interface Malformed {
  readonly lines: number
  /** The first of them, with what is wrong. */
  readonly first: readonly string[]
}

const REQUESTS_MAX = 500_000
const BLOCKS_MAX = 20_000_000
const MALFORMED_TOLD_MAX = 5
const MODELS_TOLD_MAX = 20

export class TraceReader {
  private readonly options: ReaderOptions
  private readonly hasher: LogHasher
  private readonly requests: PlayedRequest[] = []
  private readonly untimed: number[] = []
  private readonly models = new Set<string>()
  private readonly told: string[] = []
  private format: ReadTrace['format'] | null = null
  private malformed = 0
  private blocks = 0
  private guessedAnswers = 0
  private cached = { tokens: 0, of: 0 }

  constructor(options: ReaderOptions) {
    this.options = options
    this.hasher = new LogHasher(options.encoder, options.bytesPerToken ?? BYTES_PER_TOKEN)
  }

  /** Why no more lines are taken, or null. */
  get cut(): string | null {
    if (this.requests.length >= REQUESTS_MAX) return `more than ${REQUESTS_MAX} requests`
    return this.blocks >= BLOCKS_MAX ? `more than ${BLOCKS_MAX} prompt blocks` : null
  }

  /** `line`: null when it was too long to be read. */
  take(line: string | null, number: number): void {
    if (line === null) return this.refuse(number, 'the line is too long')
    if (line.trim() === '') return
    let json: unknown
    try {
      json = JSON.parse(line)
    } catch {
      return this.refuse(number, 'not JSON')
    }
    const format = typeof json === 'object' && json !== null && 'hash_ids' in json ? 'mooncake' : 'openai'
    if (this.format !== null && format !== this.format)
      return this.refuse(number, `not of the format of the lines before it (${this.format})`)
    if (format === 'mooncake') this.takeTrace(line, number)
    else this.takeLog(json, number)
  }

  /** Throws an error that says what is missing when there is nothing to play. */
  finish(): ReadTrace {
    const { ratePerS } = this.options
    let timed = this.requests
    if (ratePerS !== undefined) {
      timed = this.requests.map((request, i) => ({ ...request, timestampMs: (i * 1000) / ratePerS }))
    } else if (this.untimed.length > 0) {
      if (this.untimed.length === this.requests.length)
        throw new Error('no line has a timestamp: say with --rate how many requests a second there are')
      for (const number of this.untimed) this.refuse(number, 'no timestamp, which other lines have')
      timed = this.requests.filter(({ timestampMs }) => !Number.isNaN(timestampMs))
    }
    if (timed.length === 0) throw new Error(`no line is a request: ${this.told.join('; ') || 'it is empty'}`)
    const sorted = timed.toSorted((a, b) => a.timestampMs - b.timestampMs)
    const firstMs = sorted[0]?.timestampMs ?? 0
    const isLog = this.format === 'openai'
    return {
      format: this.format ?? 'openai',
      requests: sorted.map((request) => ({ ...request, timestampMs: request.timestampMs - firstMs })),
      blockTokens: isLog ? LOG_BLOCK_TOKENS : BLOCK_TOKENS,
      malformed: { lines: this.malformed, first: this.told },
      cut: this.cut,
      models: [...this.models],
      guessedAnswers: this.guessedAnswers,
      cachedShareToday: this.cached.of === 0 ? null : this.cached.tokens / this.cached.of,
      bytesPerToken: isLog ? (this.options.bytesPerToken ?? BYTES_PER_TOKEN) : null,
    }
  }

  private takeTrace(line: string, number: number): void {
    try {
      this.add(parseTraceLine(line, number), 'mooncake')
    } catch (error) {
      this.refuse(number, String(error instanceof Error ? error.message : error).replace(/^line \d+:? /, ''))
    }
  }

  private takeLog(json: unknown, number: number): void {
    const log = readLogLine(json)
    if (!log.ok) return this.refuse(number, log.problem)
    const { request } = log
    if (this.models.size < MODELS_TOLD_MAX) this.models.add(request.model)
    if (this.options.model !== undefined && request.model !== this.options.model) return
    const hashed = this.hasher.hash(request, request.timestampMs ?? Number.NaN)
    if (!hashed.ok) return this.refuse(number, hashed.problem)
    if (request.timestampMs === null) this.untimed.push(number)
    if (hashed.isAnswerGuessed) this.guessedAnswers++
    const { promptTokens, cachedTokens } = request.usage
    if (promptTokens !== null && cachedTokens !== null) {
      this.cached = { tokens: this.cached.tokens + cachedTokens, of: this.cached.of + promptTokens }
    }
    this.add(hashed.request, 'openai')
  }

  private add(request: PlayedRequest, format: ReadTrace['format']): void {
    this.format = format
    this.requests.push(request)
    this.blocks += request.blockIds.length
  }

  private refuse(number: number, problem: string): void {
    this.malformed++
    if (this.told.length < MALFORMED_TOLD_MAX) this.told.push(`line ${number}: ${problem}`)
  }
}

/** Prompts whose reported length sets the ratio. */
const SIZED_MAX = 2000
/** A ratio beyond these is no text: a log whose usage counts something else. */
const RATIO_RANGE = [1, 16] as const

/** Canonical bytes a token of the log's own prompts, where it reports how many tokens they had. */
export class BytesPerToken {
  private readonly writer: PromptWriter
  private bytes = 0
  private tokens = 0
  private sized = 0

  constructor(encoder: Utf8Encoder) {
    this.writer = new PromptWriter(encoder)
  }

  get isSure(): boolean {
    return this.sized >= SIZED_MAX
  }

  take(line: string | null): void {
    let log
    try {
      log = readLogLine(JSON.parse(line ?? ''))
    } catch {
      return
    }
    const size = log.ok ? promptSize(this.writer, log.request) : null
    if (size === null) return
    this.bytes += size.bytes
    this.tokens += size.tokens
    this.sized++
  }

  /** Undefined when no line tells. */
  get value(): number | undefined {
    const ratio = this.bytes / this.tokens
    return this.sized > 0 && ratio >= RATIO_RANGE[0] && ratio <= RATIO_RANGE[1] ? ratio : undefined
  }
}
