/** One generation: its choices run in the engine, and what they say leaves whole or as a stream. */
import { randomBytes } from 'node:crypto'
import type { AnswerSink } from './answer-sink.ts'
import { ChoiceRun } from './choice-run.ts'
import type { EngineHost } from './engine-options.ts'
import { answerSeed, choiceSeed, garbageSeed } from './model/answer.ts'
import { notifyTransfer, pullTransfer } from './transfer-channel.ts'
import type { AnswerHead, AnswerTail } from './wire/answer-body.ts'
import { engineBusy, internalError, inVoice, type ErrorAnswer } from './wire/errors.ts'
import type { GenerationRequest } from './wire/generation-request.ts'
import { queuedBody, responsesBody } from './wire/responses-voice.ts'
import { transferParams, type TransferRole } from './wire/transfer-params.ts'
import type { Usage } from './wire/usage.ts'
import type { StreamVoice } from './wire/voice.ts'
import { streamVoice, wholeVoice } from './wire/voices.ts'

export class Generation {
  private readonly host: EngineHost
  private readonly request: GenerationRequest
  private readonly prompts: readonly Uint32Array[]
  private readonly head: AnswerHead
  private readonly sink: AnswerSink
  private readonly writer: StreamVoice
  private readonly choices: ChoiceRun[] = []
  private open = 0
  private cachedTokens = 0
  private isClosed = false
  private said = ''
  private role: TransferRole = { kind: 'local' }

  constructor(
    host: EngineHost,
    request: GenerationRequest,
    prompts: readonly Uint32Array[],
    id: string,
    sink: AnswerSink,
  ) {
    this.host = host
    this.request = request
    this.prompts = prompts
    this.sink = sink
    const { model, version, cacheDetails } = host.options
    const createdS = Math.floor(Date.now() / 1000)
    const toolName = request.forced?.tool ?? null
    this.head = {
      api: request.api,
      id,
      createdS,
      model,
      version,
      fingerprint: host.fingerprint,
      tool: toolName === null ? null : { id: `call_${randomBytes(12).toString('hex')}`, name: toolName },
      itemId: randomBytes(8).toString('hex'),
    }
    this.writer = streamVoice(this.head, request, cacheDetails)
  }

  /** Fetches remote KV where there is some, then queues all choices. */
  async start(role: TransferRole): Promise<void> {
    this.role = role
    if (role.kind === 'hang') {
      this.host.hung.add(this)
      return
    }
    let seedOf = (seed: number): number => seed
    const [prompt] = this.prompts
    if (role.kind === 'consumer' && prompt !== undefined) {
      const verdict = await pullTransfer(role.source, this.head.version, answerSeed(prompt))
      if (this.isClosed) {
        notifyTransfer(role.source, this.head.version, 'end')
        return
      }
      if (verdict === 'unreachable') {
        this.host.engine.core.counters.finished.error++
        this.fail(internalError())
        return
      }
      if (verdict === 'gone') this.role = { kind: 'local' }
      if (verdict === 'garbage') seedOf = garbageSeed
    }
    if (!this.submitAll(seedOf)) {
      for (const choice of this.choices) choice.cancel()
      if (role.kind === 'consumer') notifyTransfer(role.source, this.head.version, 'end')
      this.fail(engineBusy())
      return
    }
    if (this.request.isStream) this.sink.openStream()
  }

  queued(): { readonly status: string } {
    const { head, request } = this
    if (!request.echo) throw new Error('only the Responses API works in the background')
    return queuedBody(head, request.echo)
  }

  /** The client left, everything is sent, or it was cancelled. */
  onClose(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.host.load--
    if (this.host.hung.delete(this)) {
      // vLLM's engine core dies with a KeyError in its finished-request bookkeeping.
      this.host.crash()
      return
    }
    for (const choice of this.choices) choice.cancel()
  }

  /** A choice has said something; `isLast` when it will say no more. */
  onText(choice: ChoiceRun, isFirst: boolean, isLast: boolean): void {
    if (isLast) {
      this.open--
      // vLLM reports what the choice that ended last had cached.
      this.cachedTokens = choice.cachedTokens
    }
    if (this.isClosed) return
    if (this.request.isStream) this.writeChunk(choice, isFirst, isLast)
    else if (this.open === 0) this.sendWhole()
  }

  private submitAll(seedOf: (seed: number) => number): boolean {
    const { request, prompts } = this
    this.open = prompts.length * request.choices
    return prompts.every((prompt, promptIndex) => {
      const seed = seedOf(answerSeed(prompt))
      return Array.from({ length: request.choices }, (_, i) => i).every((i) => {
        const index = promptIndex * request.choices + i
        const choice = new ChoiceRun(this.host, request, prompt, index, (...args) => this.onText(...args))
        this.choices.push(choice)
        const suffix = request.api === 'chat' ? '' : `-${promptIndex}`
        const name = `${this.head.id}${suffix}-${randomBytes(4).toString('hex')}`
        return choice.submit(name, choiceSeed(seed, i), this.role)
      })
    })
  }

  private writeChunk(choice: ChoiceRun, isFirst: boolean, isLast: boolean): void {
    const { writer, request } = this
    const isChat = request.api === 'chat'
    const promptIds = isFirst && request.returnsTokenIds ? Array.from(choice.prompt) : null
    let text = isFirst && isChat ? writer.open(choice.index, choice.prompt.length, promptIds) : ''
    const said = choice.takeSaid()
    text += writer.delta({
      index: choice.index,
      ...said,
      finish: isLast ? choice.finish : null,
      stopReason: choice.stopReason,
      promptTokens: choice.prompt.length,
      completionTokens: choice.completionTokens,
      promptTokenIds: isChat ? null : promptIds,
    })
    if (request.echo) this.said += said.text
    if (this.open > 0) {
      this.sink.write(text)
      return
    }
    this.keep()
    this.sink.end(text + writer.close(this.usage()))
  }

  private sendWhole(): void {
    const { request, head } = this
    const choices = this.choices.map((choice) => ({
      ...choice.takeSaid(),
      index: choice.index,
      finish: choice.finish ?? 'stop',
      stopReason: choice.stopReason,
      promptTokenIds: request.returnsTokenIds ? Array.from(choice.prompt) : null,
    }))
    this.said = choices[0]?.text ?? ''
    this.keep()
    this.sink.sendWhole(wholeVoice(request)(head, choices, this.tail()))
  }

  private tail(): AnswerTail {
    return {
      usage: this.usage(),
      hasDetails: this.host.options.cacheDetails,
      returnsTokenIds: this.request.returnsTokenIds,
      transfer: this.transfer(),
    }
  }

  /** Under its id, to be read and to be continued from. */
  private keep(): void {
    const { echo, conversation, voice } = this.request
    const [choice] = this.choices
    if (!echo?.isKept || voice !== 'responses' || !choice) return
    const { index, finish, stopReason } = choice
    const told = { index, finish: finish ?? 'stop', stopReason, text: this.said }
    const said = [{ ...told, tokenIds: [], promptTokenIds: null }]
    this.host.responses.finish(this.head.id, {
      messages: [...conversation, { role: 'assistant', content: this.said }],
      body: responsesBody(echo)(this.head, said, this.tail()),
    })
  }

  /** The prefill leg's answer tells where its KV is. */
  private transfer(): object | null {
    const last = this.choices.at(-1)
    if (this.role.kind !== 'producer' || last === undefined) return null
    const { engineId, sideChannelPort, options } = this.host
    const source = {
      requestId: last.id,
      engineId,
      host: options.host,
      port: sideChannelPort,
      blockIds: last.blockIds,
    }
    return transferParams(source, last.prompt.length, last.cachedTokens, options.version)
  }

  private usage(): Usage {
    const promptTokens = this.prompts.reduce((sum, { length }) => sum + length, 0)
    const { blockTokens } = this.host.options.profile
    const isLocal = this.role.kind !== 'consumer'
    const full = Math.floor(promptTokens / blockTokens) * blockTokens
    const createdTokens = isLocal ? Math.max(full - this.cachedTokens, 0) : 0
    return {
      promptTokens,
      completionTokens: this.choices.reduce((sum, choice) => sum + choice.completionTokens, 0),
      cachedTokens: this.cachedTokens,
      createdTokens: this.request.api === 'chat' ? createdTokens : null,
    }
  }

  private fail(failure: ErrorAnswer): void {
    const answer = inVoice(this.request.voice, failure)
    if (this.sink.isStreaming) this.sink.end(this.writer.error(answer.body))
    else this.sink.sendError(answer)
  }
}
