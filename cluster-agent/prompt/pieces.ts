/**
 * Rendered prompts cut at the model's special tokens. Tokenizers split there before anything else, so what lies between two
 * of them is tokenised alone: a conversation that grew by a turn has only that turn's pieces new.
 */
import { isObject, type JsonObject } from '../handoff/json.ts'
import { countUpTo } from './alignment.ts'

export interface Special {
  readonly text: string
  readonly id: number
}

/** How a tokenizer may be worked piece by piece. */
export interface Cutting {
  readonly specials: readonly Special[]
  /** Whether words are split by a pattern before merging, so that a word's end is a token's end whatever follows. */
  readonly splitsWords: boolean
}

/** Steps that look at nothing beyond the text they are given, and put nothing before it. */
const LOCAL_STEPS = new Set([
  'ByteLevel',
  'Split',
  'Digits',
  'Punctuation',
  'Whitespace',
  'WhitespaceSplit',
  'NFC',
  'NFD',
  'NFKC',
  'NFKD',
])

/** null: this tokenizer must be given whole prompts. `json` is its `tokenizer.json`. */
export function cuttingOf(json: JsonObject): Cutting | null {
  const steps = [...stepsOf(json['normalizer']), ...stepsOf(json['pre_tokenizer'])]
  const isLocal = steps.every(
    (step) => LOCAL_STEPS.has(String(step['type'])) && step['add_prefix_space'] !== true,
  )
  const added: readonly unknown[] = Array.isArray(json['added_tokens']) ? json['added_tokens'] : []
  const specials = added.filter(isObject).filter(isPlainSpecial)
  // A token that takes the space beside it, or is looked for in normalised text, is not where it seems to be.
  const isPlain = specials.length === added.length
  if (!isLocal || !isPlain || specials.length === 0) return null
  return {
    specials: specials.map(({ content, id }) => ({ text: String(content), id: Number(id) })),
    splitsWords: steps.some(({ type }) => type === 'Split' || type === 'ByteLevel'),
  }
}

export type Piece = { readonly text: string } | { readonly special: Special }

export class PieceCutter {
  /** By the character that they begin with, the longest first, as the tokenizer itself prefers. Few characters begin all. */
  readonly #byFirst = new Map<string, readonly Special[]>()

  constructor(specials: readonly Special[]) {
    for (const special of specials.toSorted((a, b) => b.text.length - a.text.length)) {
      const first = special.text.charAt(0)
      this.#byFirst.set(first, [...(this.#byFirst.get(first) ?? []), special])
    }
  }

  cut(text: string): Piece[] {
    const pieces: Piece[] = []
    let from = 0
    for (const { at, special } of this.#found(text)) {
      // Behind the start of one that another covers.
      if (at < from) continue
      if (at > from) pieces.push({ text: text.slice(from, at) })
      pieces.push({ special })
      from = at + special.text.length
    }
    if (from < text.length) pieces.push({ text: text.slice(from) })
    return pieces
  }

  #found(text: string): { readonly at: number; readonly special: Special }[] {
    const found = []
    for (const [first, specials] of this.#byFirst)
      for (let at = text.indexOf(first); at >= 0; at = text.indexOf(first, at + 1)) {
        const special = specials.find((one) => text.startsWith(one.text, at))
        if (special) found.push({ at, special })
      }
    return this.#byFirst.size > 1 ? found.sort((a, b) => a.at - b.at) : found
  }
}

/** Where the special tokens of a rendered prompt lie, in UTF-16 units, rising. */
export interface SpecialPlaces {
  readonly starts: readonly number[]
  readonly ends: readonly number[]
}

export function placesOf(pieces: readonly Piece[]): SpecialPlaces {
  const starts: number[] = []
  const ends: number[] = []
  let at = 0
  for (const piece of pieces) {
    const isSpecial = 'special' in piece
    if (isSpecial) starts.push(at)
    at += isSpecial ? piece.special.text.length : piece.text.length
    if (isSpecial) ends.push(at)
  }
  return { starts, ends }
}

/** Where the special token that starts at `at` ends, or null. */
export function specialEndAt({ starts, ends }: SpecialPlaces, at: number): number | null {
  const index = countUpTo(starts, at) - 1
  return starts[index] === at ? (ends[index] ?? null) : null
}

/** Where the last special token that ends by `limit` ends; 0 without one. */
export function lastSpecialEnd({ ends }: SpecialPlaces, limit: number): number {
  return ends[countUpTo(ends, limit) - 1] ?? 0
}

/** Longest stretch of text that is tokenised in one go where it may be cut. */
export const STRETCH_UNITS = 2048
/** Text without a place to cut in this many more is taken as it is. */
const STRETCH_SEARCH_UNITS = 1024
const WORD = /[\p{L}\p{N}]/u

/**
 * `text` in stretches that tokenise alone as they do together: cut between a word and a space, where a tokenizer that splits
 * words always splits. A text that grows at its end keeps all but its last stretch.
 */
export function stretchesOf(text: string): string[] {
  const stretches: string[] = []
  let from = 0
  for (let at = STRETCH_UNITS; at < text.length; at++) {
    if (at - from > STRETCH_UNITS + STRETCH_SEARCH_UNITS) break
    if (text.charCodeAt(at) !== 0x20 || !WORD.test(text.charAt(at - 1))) continue
    stretches.push(text.slice(from, at))
    from = at
    at += STRETCH_UNITS - 1
  }
  if (from < text.length) stretches.push(text.slice(from))
  return stretches
}

function isPlainSpecial(token: JsonObject): boolean {
  const isEager = ['lstrip', 'rstrip', 'single_word', 'normalized'].some((name) => token[name] === true)
  return (
    typeof token['content'] === 'string' &&
    token['content'] !== '' &&
    Number.isInteger(token['id']) &&
    !isEager
  )
}

function stepsOf(step: unknown): JsonObject[] {
  if (!isObject(step)) return []
  const inner = step['normalizers'] ?? step['pretokenizers']
  return Array.isArray(inner) ? inner.flatMap(stepsOf) : [step]
}
