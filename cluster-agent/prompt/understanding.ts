/** What is certain of a rendered and tokenised prompt under each marker: the same for all prompts with that PrefixKey. */
import type { CanonicalPrompt } from '../../core/prompt-bytes.ts'
import { certainTokens, countUpTo, renderedPositions } from './alignment.ts'
import type { RenderedPrompt } from './chat-template.ts'
import type { PieceCutter } from './pieces.ts'

export interface TokenizedPrompt {
  readonly rendered: RenderedPrompt
  readonly tokens: Uint32Array
  /** Where each token ends in the text, in UTF-16 units, rising. */
  readonly tokenEnds: ArrayLike<number>
  /** null: the tokenizer's special tokens are not known. */
  readonly cutter: PieceCutter | null
  readonly splitsWords: boolean
}

/** Tokens that are certain up to each of `offsets`, rising byte offsets of the canonical prompt. */
export function certainUnder(
  { rendered, tokenEnds, cutter, splitsWords }: TokenizedPrompt,
  { segments, messageEnds }: Pick<CanonicalPrompt, 'segments' | 'messageEnds'>,
  offsets: readonly number[],
): number[] {
  const { text, knownUnits } = rendered
  const ends = new Set(messageEnds)
  const lastEnd = messageEnds.at(-1)
  return renderedPositions(text, segments, offsets).map((position, i) => {
    const offset = offsets[i] ?? 0
    const isKnownWhole = knownUnits === text.length
    if (!isKnownWhole && offset === lastEnd && cutter)
      return countUpTo(tokenEnds, cutter.lastEnd(text, knownUnits))
    if (position >= knownUnits && !isKnownWhole)
      return certainTokens(text, tokenEnds, Math.min(position, knownUnits), splitsWords)
    // A message that has ended is followed by its template's end mark, whatever comes after it.
    const markEnd = ends.has(offset) && cutter ? cutter.endAt(text, position) : null
    if (markEnd !== null) return countUpTo(tokenEnds, markEnd)
    return certainTokens(text, tokenEnds, position, splitsWords)
  })
}
