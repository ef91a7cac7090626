/** Token ids of the demo model back to text. Bytes that are no UTF-8 become U+FFFD, as in every UTF-8 decoder. */
import { SYLLABLES, SYNTHETIC_WORDS, syntheticWord } from '../../core/synthetic-words.ts'
import { BYTE_CHARACTERS, byteLevelText } from './byte-alphabet.ts'
import { BYTE_TOKENS, SPACED_WORD_BASE, WORD_BASE, specialToken } from './vocabulary.ts'

const REPLACEMENT = '�'

/** Text of every token that is more than one byte; answers are made of these alone. */
const PIECES: readonly string[] = [
  ...SYLLABLES,
  ...Array.from({ length: SYNTHETIC_WORDS }, (_, i) => syntheticWord(i)),
  ...Array.from({ length: SYNTHETIC_WORDS }, (_, i) => ` ${syntheticWord(i)}`),
]

/** Text of one token of an answer; special tokens are left out, as with `skip_special_tokens`. */
export function answerText(token: number): string {
  return PIECES[token - BYTE_TOKENS] ?? ''
}

/** Text of all tokens; special tokens are written out unless they are skipped. */
export function decode(tokens: ArrayLike<number>, skipsSpecial = false): string {
  let text = ''
  let bytes: number[] = []
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] ?? 0
    if (token < BYTE_TOKENS) {
      bytes.push(token)
      continue
    }
    const piece = PIECES[token - BYTE_TOKENS] ?? (skipsSpecial ? '' : (specialToken(token) ?? ''))
    // A token that is passed over parts no bytes of a character.
    if (piece === '') continue
    text += decodeUtf8(bytes) + piece
    bytes = []
  }
  return text + decodeUtf8(bytes)
}

/** How the vocabulary writes a token: bytes by their stand-ins, a leading space as `Ġ`. */
export function tokenString(token: number): string {
  if (token < BYTE_TOKENS) return BYTE_CHARACTERS[token] ?? ''
  if (token >= SPACED_WORD_BASE || token < WORD_BASE) {
    const piece = PIECES[token - BYTE_TOKENS]
    return piece === undefined ? (specialToken(token) ?? '') : byteLevelText(piece)
  }
  return PIECES[token - BYTE_TOKENS] ?? ''
}

/** The WHATWG decoder's rules: each maximal part of an ill-formed sequence is one U+FFFD. */
function decodeUtf8(bytes: readonly number[]): string {
  let text = ''
  let i = 0
  while (i < bytes.length) {
    const lead = bytes[i++] ?? 0
    if (lead < 0x80) {
      text += String.fromCharCode(lead)
      continue
    }
    const length =
      lead >= 0xc2 && lead <= 0xdf ? 1 : (lead & 0xf0) === 0xe0 ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0
    let point = lead & (0x3f >> length)
    let lower = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
    let upper = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
    let missing = length
    while (missing > 0) {
      const next = bytes[i] ?? 0
      if (next < lower || next > upper) break
      point = (point << 6) | (next & 0x3f)
      lower = 0x80
      upper = 0xbf
      missing--
      i++
    }
    text += length === 0 || missing > 0 ? REPLACEMENT : String.fromCodePoint(point)
  }
  return text
}
