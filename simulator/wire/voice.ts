/** How one API says what a generation says: as a whole answer, or as events. One voice for each API. */
import type { AnswerChoice, AnswerHead, AnswerTail } from './answer-body.ts'
import type { ChunkDelta } from './stream-chunk.ts'
import type { Usage } from './usage.ts'

export interface StreamVoice {
  /** What opens a choice; with its first text. */
  open(index: number, promptTokens: number, promptTokenIds: readonly number[] | null): string
  delta(chunk: ChunkDelta): string
  /** What follows the last content. */
  close(usage: Usage): string
  /** An error after the headers are sent. */
  error(body: unknown): string
}

export type WholeVoice = (head: AnswerHead, choices: readonly AnswerChoice[], tail: AnswerTail) => object

/** A typed event, as both the Responses and the Messages API write it. */
export function typedEvent(type: string, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
}
