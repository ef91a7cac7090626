/** What is certain of a rendered and tokenised prompt under each marker: the same for all prompts with that PrefixKey. */
import type { CanonicalPrompt } from '../../core/prompt-bytes.ts'
import { certainTokens, countUpTo, renderedPositions } from './alignment.ts'
import type { RenderedPrompt } from './chat-template.ts'
import { lastSpecialEnd, specialEndAt, type SpecialPlaces } from './pieces.ts'

export interface TokenizedPrompt {
  readonly rendered: RenderedPrompt
  readonly tokens: Uint32Array
  /** Where each token ends in the text, in UTF-16 units, rising. */
  readonly tokenEnds: ArrayLike<number>
  /** null: where special tokens lie is not known. */
  readonly specials: SpecialPlaces | null
  readonly splitsWords: boolean
}

/** Tokens that are certain up to each of `offsets`, rising byte offsets of the canonical prompt. */
export function certainUnder(
  { rendered, tokenEnds, specials, splitsWords }: TokenizedPrompt,
  { segments, messageEnds }: Pick<CanonicalPrompt, 'segments' | 'messageEnds'>,
  offsets: readonly number[],
): number[] {
  const { text, knownUnits } = rendered
  const ends = new Set(messageEnds)
  const lastEnd = messageEnds.at(-1)
  return renderedPositions(text, segments, offsets).map((position, i) => {
    const offset = offsets[i] ?? 0
    const isKnownWhole = knownUnits === text.length
    if (!isKnownWhole && offset === lastEnd && specials)
      return countUpTo(tokenEnds, lastSpecialEnd(specials, knownUnits))
    if (position >= knownUnits && !isKnownWhole)
      return certainTokens(text, tokenEnds, Math.min(position, knownUnits), splitsWords)
    // A message that has ended is followed by its template's end mark, whatever comes after it.
    const markEnd = ends.has(offset) && specials ? specialEndAt(specials, position) : null
    if (markEnd !== null) return countUpTo(tokenEnds, markEnd)
    // Only a message's end says that its text goes no further.
    const isOpen = !ends.has(offset) && position >= text.length
    return certainTokens(text, tokenEnds, isOpen ? text.length - 1 : position, splitsWords)
  })
}
