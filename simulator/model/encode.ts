/**
 * Text to token ids of the demo model, the same ids that `tokenizers` gives with `demoTokenizerFiles()`. A word is one
 * table look-up; other lower-case runs are merged pair by pair; everything else is one token a byte.
 */
import { CONSONANTS, VOWELS } from '../../core/synthetic-words.ts'
import { PIECE_LETTERS_MAX } from './tokenizer-files.ts'
import { SPACED_WORD_BASE, SPECIAL_TOKENS, SYLLABLE_BASE, WORD_BASE, specialId } from './vocabulary.ts'

const SPACE = 0x20
const LETTER_A = 0x61
const LETTER_Z = 0x7a
const SYLLABLE_COUNT = 64
const REPLACEMENT = 0xfffd

/** Consonant number of a letter times four, or -1; vowel number of a letter, or -1. */
const CONSONANT = new Int8Array(128).fill(-1)
const VOWEL = new Int8Array(128).fill(-1)
;[...CONSONANTS].forEach((letter, i) => (CONSONANT[letter.charCodeAt(0)] = i * VOWELS.length))
;[...VOWELS].forEach((letter, i) => (VOWEL[letter.charCodeAt(0)] = i))

/** Token ids of `text`. Special tokens written in it count as themselves, as in a rendered template. */
export function encode(text: string): Uint32Array {
  const out = new Uint32Array(text.length * 3)
  let count = 0
  let start = 0
  for (;;) {
    const special = findSpecial(text, start)
    count = encodePlain(text, start, special === null ? text.length : special.at, out, count)
    if (special === null) return out.slice(0, count)
    out[count++] = specialId(special.index)
    start = special.at + (SPECIAL_TOKENS[special.index] ?? '').length
  }
}

function findSpecial(text: string, from: number): { at: number; index: number } | null {
  for (let at = text.indexOf('<|', from); at >= 0; at = text.indexOf('<|', at + 1)) {
    const index = SPECIAL_TOKENS.findIndex((token) => text.startsWith(token, at))
    if (index >= 0) return { at, index }
  }
  return null
}

function encodePlain(text: string, start: number, end: number, out: Uint32Array, at: number): number {
  let count = at
  let i = start
  while (i < end) {
    const code = text.charCodeAt(i)
    const isSpaced = code === SPACE && i + 1 < end && isLetter(text.charCodeAt(i + 1))
    if (isSpaced || isLetter(code)) {
      const from = isSpaced ? i + 1 : i
      const limit = Math.min(end, from + PIECE_LETTERS_MAX)
      let stop = from + 1
      while (stop < limit && isLetter(text.charCodeAt(stop))) stop++
      count = encodePiece(text, from, stop, isSpaced, out, count)
      i = stop
    } else if (code < 0x80) {
      out[count++] = code
      i++
    } else {
      const point = text.codePointAt(i) ?? REPLACEMENT
      // A surrogate at the very end of the range, or a lone one, becomes U+FFFD as in any UTF-8 encoder.
      const isLone = point >= 0xd800 && point <= 0xdfff
      count = encodePoint(isLone ? REPLACEMENT : point, out, count)
      i += point > 0xffff ? 2 : 1
    }
  }
  return count
}

/** A run of lower-case letters, perhaps behind a space. */
function encodePiece(
  text: string,
  from: number,
  stop: number,
  isSpaced: boolean,
  out: Uint32Array,
  at: number,
): number {
  if (stop - from === 4) {
    const word = wordIndex(text, from)
    if (word >= 0) {
      out[at] = (isSpaced ? SPACED_WORD_BASE : WORD_BASE) + word
      return at + 1
    }
  }
  const symbols: number[] = isSpaced ? [SPACE] : []
  for (let i = from; i < stop; i++) {
    const syllable = i + 1 < stop ? syllableIndex(text.charCodeAt(i), text.charCodeAt(i + 1)) : -1
    if (syllable >= 0) i++
    symbols.push(syllable >= 0 ? SYLLABLE_BASE + syllable : text.charCodeAt(i))
  }
  mergeWords(symbols)
  if (isSpaced) mergeSpace(symbols)
  out.set(symbols, at)
  return at + symbols.length
}

/** Joins neighbouring syllables, always the pair that stands first in the list of merges. */
function mergeWords(symbols: number[]): void {
  for (;;) {
    let best = -1
    let bestRank = Infinity
    for (let i = 0; i + 1 < symbols.length; i++) {
      const rank = wordRank(symbols[i] ?? 0, symbols[i + 1] ?? 0)
      if (rank < bestRank) {
        best = i
        bestRank = rank
      }
    }
    if (best < 0) return
    symbols.splice(best, 2, WORD_BASE + bestRank)
  }
}

function mergeSpace(symbols: number[]): void {
  const word = (symbols[1] ?? 0) - WORD_BASE
  if (word >= 0 && symbols[0] === SPACE) symbols.splice(0, 2, SPACED_WORD_BASE + word)
}

function wordRank(left: number, right: number): number {
  const isPair = left >= SYLLABLE_BASE && left < WORD_BASE && right >= SYLLABLE_BASE && right < WORD_BASE
  return isPair ? (left - SYLLABLE_BASE) * SYLLABLE_COUNT + (right - SYLLABLE_BASE) : Infinity
}

function wordIndex(text: string, at: number): number {
  const first = syllableIndex(text.charCodeAt(at), text.charCodeAt(at + 1))
  const second = syllableIndex(text.charCodeAt(at + 2), text.charCodeAt(at + 3))
  return first < 0 || second < 0 ? -1 : first * SYLLABLE_COUNT + second
}

function syllableIndex(consonant: number, vowel: number): number {
  const row = CONSONANT[consonant] ?? -1
  const column = VOWEL[vowel] ?? -1
  return row < 0 || column < 0 ? -1 : row + column
}

function isLetter(code: number): boolean {
  return code >= LETTER_A && code <= LETTER_Z
}

function encodePoint(point: number, out: Uint32Array, at: number): number {
  let count = at
  if (point < 0x800) {
    out[count++] = 0xc0 | (point >> 6)
  } else {
    if (point < 0x10000) {
      out[count++] = 0xe0 | (point >> 12)
    } else {
      out[count++] = 0xf0 | (point >> 18)
      out[count++] = 0x80 | ((point >> 12) & 0x3f)
    }
    out[count++] = 0x80 | ((point >> 6) & 0x3f)
  }
  out[count++] = 0x80 | (point & 0x3f)
  return count
}
