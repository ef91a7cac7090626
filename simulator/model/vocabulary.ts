/**
 * The token ids of the demo model: 0 to 255 the bytes, then 64 syllables, 4,096 words, the same words behind a space,
 * and three special tokens.
 */
import { SYLLABLES, SYNTHETIC_WORDS, syntheticWord } from '../../core/synthetic-words.ts'

export const BYTE_TOKENS = 256
export const SYLLABLE_BASE = BYTE_TOKENS
export const WORD_BASE = SYLLABLE_BASE + SYLLABLES.length
export const SPACED_WORD_BASE = WORD_BASE + SYNTHETIC_WORDS
const SPECIAL_BASE = SPACED_WORD_BASE + SYNTHETIC_WORDS

/** In the order of their ids. */
export const SPECIAL_TOKENS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'] as const
export const IM_START = SPECIAL_BASE + 1
export const IM_END = SPECIAL_BASE + 2
export const VOCABULARY_TOKENS = SPECIAL_BASE + SPECIAL_TOKENS.length

/** The id of word `index` modulo the number of words. */
export function wordToken(index: number, isSpaced: boolean): number {
  return (isSpaced ? SPACED_WORD_BASE : WORD_BASE) + (index % SYNTHETIC_WORDS)
}

/** Word `index` modulo 4,096: one token of the demo model. */
export function wordText(index: number): string {
  return syntheticWord(index)
}

export function specialToken(token: number): string | null {
  return SPECIAL_TOKENS[token - SPECIAL_BASE] ?? null
}

export function specialId(index: number): number {
  return SPECIAL_BASE + index
}
