/**
 * What the simulated model answers: words drawn from a hash of the prompt tokens, so that every engine, and a prefill
 * and a decode engine together, say the same. A natural answer has 20 to 200 tokens, the last one being the end token.
 */
import { IM_END, wordToken } from './vocabulary.ts'

const ANSWER_TOKENS_MIN = 20
const ANSWER_TOKENS_SPAN = 181

/** A 32-bit seed of all tokens of a prompt. */
export function answerSeed(tokens: Uint32Array): number {
  let seed = 0x811c9dc5
  for (let i = 0; i < tokens.length; i++) seed = Math.imul(seed ^ (tokens[i] ?? 0), 0x01000193)
  return mix(seed ^ tokens.length)
}

/** The seed of choice `index` of the same prompt; choice 0 keeps the seed. */
export function choiceSeed(seed: number, index: number): number {
  return index === 0 ? seed : mix(seed + Math.imul(index, 0x9e3779b9))
}

/** The seed of an answer out of wrong KV: what the model says when a transfer delivered other bytes. */
export function garbageSeed(seed: number): number {
  return mix(seed ^ 0x6a4ba6e1)
}

/** How many tokens the model says before it stops by itself, the end token included. */
export function answerTokens(seed: number): number {
  return ANSWER_TOKENS_MIN + (mix(seed ^ 0x51ed27) % ANSWER_TOKENS_SPAN)
}

/** Token `index` of the answer. The first word has no leading space, so that a chat template renders it back alike. */
export function answerToken(seed: number, index: number, mayStop: boolean): number {
  if (mayStop && index >= answerTokens(seed) - 1) return IM_END
  return wordToken(mix(seed + Math.imul(index + 1, 0x9e3779b9)), index > 0)
}

function mix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
