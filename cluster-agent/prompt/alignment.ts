/**
 * From byte offsets of the canonical prompt to tokens of the rendered one. Templates render message texts verbatim, so
 * each text is looked up in the rendered prompt, in order; what lies between two texts counts as the end of the first.
 * Everything rounds down: a marker's token count must hold for every prompt with the same bytes up to it.
 */
import type { TextSegment } from '../../core/prompt-bytes.ts'

/** How far back a safe place to cut may lie; beyond it the text has no spaces and nothing is certain but the start. */
const CUT_SEARCH_CHARS = 256

interface Anchor {
  readonly offsetBytes: number
  readonly text: string
  /** Whether each of its UTF-16 units is one byte. */
  readonly isAscii: boolean
  /** Where the text starts in the rendered prompt, in UTF-16 units. */
  readonly at: number
}

/** Turns rising byte offsets into rising positions of the rendered prompt up to which it is certain. */
export function renderedPositions(
  rendered: string,
  segments: readonly TextSegment[],
  offsets: readonly number[],
): number[] {
  const anchors = findAnchors(rendered, segments)
  const positions: number[] = []
  let next = 0
  let bytes = 0
  let units = 0
  for (const offset of offsets) {
    while (next < anchors.length && (anchors[next] as Anchor).offsetBytes <= offset) {
      next++
      bytes = 0
      units = 0
    }
    const anchor = anchors[next - 1]
    if (!anchor) {
      positions.push(0)
      continue
    }
    const within = offset - anchor.offsetBytes
    if (anchor.isAscii) units = Math.min(within, anchor.text.length)
    while (!anchor.isAscii && units < anchor.text.length) {
      const point = anchor.text.codePointAt(units) ?? 0
      const size = utf8Bytes(point)
      if (bytes + size > within) break
      bytes += size
      units += point > 0xffff ? 2 : 1
    }
    positions.push(anchor.at + units)
  }
  return positions
}

/**
 * Many templates strip the white space around a text. A text that a template changed otherwise is skipped, and so is all that
 * follows: its place is not certain.
 */
function findAnchors(rendered: string, segments: readonly TextSegment[]): Anchor[] {
  const anchors: Anchor[] = []
  let from = 0
  for (const segment of segments) {
    const anchor = anchorOf(rendered, segment, from)
    if (!anchor) break
    anchors.push(anchor)
    from = anchor.at + anchor.text.length
  }
  return anchors
}

function anchorOf(rendered: string, { offsetBytes, bytes, text }: TextSegment, from: number): Anchor | null {
  const isAscii = bytes === text.length
  const at = rendered.indexOf(text, from)
  if (at >= 0) return { offsetBytes, text, isAscii, at }
  const stripped = text.trim()
  const strippedAt = stripped === '' ? -1 : rendered.indexOf(stripped, from)
  if (strippedAt < 0) return null
  const before = text.slice(0, text.indexOf(stripped))
  return { offsetBytes: offsetBytes + utf8Length(before), text: stripped, isAscii, at: strippedAt }
}

/**
 * How many tokens end at or before a place where the text can be cut without changing how what precedes it is tokenised:
 * between a word and white space that is itself certain and, when the tokenizer `splitsWords`, between a word and anything
 * else. `tokenEnds` are rising positions in the rendered prompt.
 */
export function certainTokens(
  rendered: string,
  tokenEnds: ArrayLike<number>,
  position: number,
  splitsWords = false,
): number {
  if (position >= rendered.length) return tokenEnds.length
  const stop = Math.max(position - CUT_SEARCH_CHARS, 0)
  for (let cut = position - 1; cut > stop; cut--)
    if (isBorder(rendered, cut, splitsWords)) return countUpTo(tokenEnds, cut)
  return 0
}

const WORD_END = /[\p{L}\p{N}]/u
const WORD_PART = /[\p{L}\p{M}\p{N}\ud800-\udfff]/u

function isBorder(text: string, cut: number, splitsWords: boolean): boolean {
  const before = text.charAt(cut - 1)
  const after = text.charAt(cut)
  if (isSpace(after.charCodeAt(0))) {
    // Punctuation takes the line ends behind it into its own word.
    const isLineEnd = after === '\n' || after === '\r'
    return !isSpace(before.charCodeAt(0)) && (!isLineEnd || WORD_END.test(before))
  }
  return splitsWords && WORD_END.test(before) && !WORD_PART.test(after)
}

/** Elements of a rising list that are at most `value`. */
export function countUpTo(values: ArrayLike<number>, value: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((values[middle] ?? 0) <= value) low = middle + 1
    else high = middle
  }
  return low
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x09 || unit === 0x0d
}

function utf8Length(text: string): number {
  let bytes = 0
  for (const character of text) bytes += utf8Bytes(character.codePointAt(0) ?? 0)
  return bytes
}

/** A lone surrogate is encoded as U+FFFD, three bytes. */
function utf8Bytes(point: number): number {
  if (point < 0x80) return 1
  if (point < 0x800) return 2
  return point < 0x10000 ? 3 : 4
}
