/** The voice of each API, and the ids that it gives to answers. */
import { answerBody, type AnswerHead } from './answer-body.ts'
import type { GenerationRequest } from './generation-request.ts'
import { messagesBody, MessagesVoice } from './messages-voice.ts'
import { responsesBody, ResponsesVoice } from './responses-voice.ts'
import { ChunkWriter } from './stream-chunk.ts'
import type { StreamVoice, WholeVoice } from './voice.ts'

export function streamVoice(head: AnswerHead, request: GenerationRequest, hasDetails: boolean): StreamVoice {
  const { voice, echo } = request
  if (voice === 'messages') return new MessagesVoice(head)
  if (voice === 'responses' && echo) return new ResponsesVoice(head, echo)
  return new ChunkWriter(head, { ...request, hasDetails })
}

export function wholeVoice({ voice, echo }: GenerationRequest): WholeVoice {
  if (voice === 'messages') return messagesBody
  return voice === 'responses' && echo ? responsesBody(echo) : answerBody
}

/** `header` is `x-request-id`, which the Responses API does not look at: it has its field. */
export function answerId(
  { api, voice, requestId }: GenerationRequest,
  header: string | string[] | undefined,
  random: string,
): string {
  if (voice === 'responses') return requestId ?? `resp_${random}`
  const own = typeof header === 'string' && header !== '' ? header : requestId
  return `${api === 'chat' ? 'chatcmpl' : 'cmpl'}-${own ?? random}`
}
