/**
 * What the agent reads from an answer while it passes by: its usage, how many events it had, and a copy to learn from. Bytes
 * are searched, not parsed: of a stream only the event that holds the usage becomes JSON.
 */
import { readUsage, type Usage } from './answer/usage.ts'
import { isObject, type JsonObject } from './handoff/json.ts'

/** The largest answer that is kept to learn from. */
export const ANSWER_COPY_BYTES_MAX = 4 * 1024 * 1024
/** The longest event that is held back until it is whole. */
const EVENT_BYTES_MAX = 4 * 1024 * 1024
/** The longest `usage` object. */
const USAGE_BYTES_MAX = 4096

// In a JSON string quotes are escaped, so text cannot contain these.
const USAGE = Buffer.from('"usage":{')
const USAGE_KEY_BYTES = USAGE.length - 1
const FINISH = Buffer.from('"finish_reason":"')
const EVENT_END = Buffer.from('\n\n')
const LINE_FEED = 0x0a

export interface AnswerReader {
  /** What of the answer goes to the client now, if anything. */
  take(chunk: Buffer): Buffer | null
  /** What is left of a whole answer at its end. */
  end(): Buffer | null
  /** Whether `take` and `end` may give another number of bytes than they get. */
  readonly changesLength: boolean
  readonly usage: Usage | null
  /** Events of a stream so far, but for its end mark; of a whole answer none. */
  readonly events: number
  /** Everything that came; null when it is not kept or was too long. */
  readonly copy: readonly Buffer[] | null
}

/** Passes everything on and remembers where the usage was. */
export class PlainReader implements AnswerReader {
  readonly changesLength: boolean = false
  readonly #isStream: boolean
  readonly #rewrite: RewriteUsage | null
  #copy: Buffer[] | null
  #copied = 0
  #events = 0
  /** Bytes from the last usage on. */
  #found: Buffer | null = null
  /** The end of what came, where a usage may have begun. */
  #carry: Buffer | null = null

  /** `rewrite`: what is said of the usage in its place, here and by those who extend this. */
  constructor(isStream: boolean, keepsCopy: boolean, rewrite: RewriteUsage | null = null) {
    this.#isStream = isStream
    this.#rewrite = rewrite
    this.#copy = keepsCopy ? [] : null
  }

  take(chunk: Buffer): Buffer | null {
    this.#keep(chunk)
    if (this.#isStream) this.#events += countEvents(chunk)
    const bytes = this.#carry ? Buffer.concat([this.#carry, chunk]) : chunk
    const at = bytes.lastIndexOf(USAGE)
    if (at >= 0) this.#found = bytes.subarray(at + USAGE_KEY_BYTES, at + USAGE_KEY_BYTES + USAGE_BYTES_MAX)
    this.#carry = endsEvent(chunk) ? null : bytes.subarray(-USAGE_BYTES_MAX)
    return chunk
  }

  end(): Buffer | null {
    return null
  }

  get usage(): Usage | null {
    const found = this.#found && firstObject(this.#found)
    return readUsage(this.#rewrite && isObject(found) ? this.#rewrite(found) : found)
  }

  get events(): number {
    return this.#events
  }

  get copy(): readonly Buffer[] | null {
    return this.#copy
  }

  #keep(chunk: Buffer): void {
    if (!this.#copy) return
    this.#copied += chunk.length
    if (this.#copied <= ANSWER_COPY_BYTES_MAX) this.#copy.push(chunk)
    else this.#copy = null
  }
}

export type RewriteUsage = (usage: JsonObject) => JsonObject

/** Holds a whole answer back and gives it out with another usage. */
export class RewritingReader extends PlainReader {
  override readonly changesLength = true
  readonly #rewrite: RewriteUsage
  readonly #held: Buffer[] = []

  constructor(rewrite: RewriteUsage, keepsCopy: boolean) {
    super(false, keepsCopy, rewrite)
    this.#rewrite = rewrite
  }

  override take(chunk: Buffer): Buffer | null {
    super.take(chunk)
    this.#held.push(chunk)
    return null
  }

  override end(): Buffer | null {
    const whole = Buffer.concat(this.#held)
    const json = parseJson(whole.toString('utf8'))
    if (!isObject(json) || !isObject(json['usage'])) return whole
    return Buffer.from(JSON.stringify({ ...json, usage: this.#rewrite(json['usage']) }))
  }
}

/**
 * A stream whose usage the client did not ask for, or must be told differently. Whole events pass at once; the one that ends
 * the text waits for the next, because the usage event carries the fingerprint that belongs to it when nobody asks for usage.
 */
export class UsageEventReader extends PlainReader {
  override readonly changesLength = true
  readonly #hides: boolean
  readonly #rewrite: RewriteUsage | null
  #partial: Buffer | null = null
  #finish: Buffer | null = null

  constructor(hides: boolean, rewrite: RewriteUsage | null, keepsCopy: boolean) {
    super(true, keepsCopy, rewrite)
    this.#hides = hides
    this.#rewrite = rewrite
  }

  override take(chunk: Buffer): Buffer | null {
    super.take(chunk)
    const isQuiet = this.#partial === null && this.#finish === null
    if (isQuiet && endsEvent(chunk) && !this.#concerns(chunk)) return chunk
    const bytes = this.#partial ? Buffer.concat([this.#partial, chunk]) : chunk
    const end = bytes.lastIndexOf(EVENT_END)
    const cut = end < 0 ? 0 : end + EVENT_END.length
    this.#partial = cut === bytes.length ? null : bytes.subarray(cut)
    if (this.#partial && this.#partial.length > EVENT_BYTES_MAX) {
      // Nothing that we know how to read: it passes as it is.
      this.#partial = null
      return bytes
    }
    return cut === 0 ? null : this.#edit(bytes.subarray(0, cut))
  }

  override end(): Buffer | null {
    const rest = [this.#finish, this.#partial].filter((part) => part !== null)
    this.#finish = null
    this.#partial = null
    return rest.length > 0 ? Buffer.concat(rest) : null
  }

  #concerns(chunk: Buffer): boolean {
    return chunk.includes(USAGE) || (this.#hides && chunk.includes(FINISH))
  }

  #edit(events: Buffer): Buffer | null {
    const out: Buffer[] = []
    for (let from = 0; from < events.length;) {
      const to = events.indexOf(EVENT_END, from) + EVENT_END.length
      const event = events.subarray(from, to)
      from = to
      const json = event.includes(USAGE) ? eventJson(event) : null
      if (this.#hides && json && isUsageOnly(json)) {
        if (this.#finish) out.push(withFingerprint(this.#finish, json['system_fingerprint']))
        this.#finish = null
        continue
      }
      if (this.#finish) out.push(this.#finish)
      this.#finish = null
      if (this.#hides && event.includes(FINISH)) this.#finish = event
      else out.push(json && this.#rewrite ? rewritten(json, this.#rewrite) : event)
    }
    return out.length > 0 ? Buffer.concat(out) : null
  }
}

/** A stream that begins with an error has not begun: another engine may answer. */
export function isErrorEvent(chunk: Buffer): boolean {
  return chunk.subarray(0, 16).toString('latin1').startsWith('data: {"error":')
}

function isUsageOnly(json: JsonObject): boolean {
  return Array.isArray(json['choices']) && json['choices'].length === 0
}

function eventJson(event: Buffer): JsonObject | null {
  const at = event.indexOf('data: ')
  const json = at < 0 ? null : parseJson(event.subarray(at + 'data: '.length).toString('utf8'))
  return isObject(json) ? json : null
}

function rewritten(json: JsonObject, rewrite: RewriteUsage): Buffer {
  const usage = isObject(json['usage']) ? rewrite(json['usage']) : json['usage']
  return Buffer.from(`data: ${JSON.stringify({ ...json, usage })}\n\n`)
}

function withFingerprint(event: Buffer, fingerprint: unknown): Buffer {
  const end = event.lastIndexOf('}')
  if (typeof fingerprint !== 'string' || end < 0) return event
  const field = `,"system_fingerprint":${JSON.stringify(fingerprint)}}\n\n`
  return Buffer.concat([event.subarray(0, end), Buffer.from(field)])
}

function countEvents(chunk: Buffer): number {
  let events = 0
  for (let at = chunk.indexOf(EVENT_END); at >= 0; at = chunk.indexOf(EVENT_END, at + 2)) events++
  return events
}

function endsEvent(chunk: Buffer): boolean {
  return chunk.at(-1) === LINE_FEED && chunk.at(-2) === LINE_FEED
}

/** The object that the bytes begin with. Of usage objects, whose strings hold no braces. */
function firstObject(bytes: Buffer): unknown {
  let depth = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === 0x7b) depth++
    if (byte === 0x7d && --depth === 0) return parseJson(bytes.subarray(0, at + 1).toString('utf8'))
  }
  return null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
