/**
 * 4,096 pronounceable words, two syllables each, for synthetic prompts: the tokenizer of the simulated model has each of
 * them as one token, real tokenizers need one to three.
 */
/** Chosen so that common rude words cannot come out. */
export const CONSONANTS = 'bdfghjklmnrstvwy'
export const VOWELS = 'aeio'

export const SYLLABLES: readonly string[] = [...CONSONANTS].flatMap((c) => [...VOWELS].map((v) => c + v))
export const SYNTHETIC_WORDS = SYLLABLES.length ** 2

/** Word `index` modulo the number of words. */
export function syntheticWord(index: number): string {
  const i = index % SYNTHETIC_WORDS
  return `${SYLLABLES[Math.floor(i / SYLLABLES.length)]}${SYLLABLES[i % SYLLABLES.length]}`
}
