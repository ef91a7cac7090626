/** One choice of a generation while it runs in the engine: its text, its stop strings, and when it speaks. */
import type { EngineHost } from './engine-options.ts'
import type { TokenSink } from './engine.ts'
import type { TokenSequence } from './engine/token-sequence.ts'
import { answerText } from './model/decode.ts'
import { isCurrent } from './wire/engine-version.ts'
import type { GenerationRequest } from './wire/generation-request.ts'
import { StopText } from './wire/stop-text.ts'
import type { TransferRole } from './wire/transfer-params.ts'

/** At high speeds several tokens share a chunk, so that a stream costs as much as a real one does. */
const STREAM_INTERVAL_MAX = 4

/** Characters of a forced text that one token says. */
const FORCED_CHARS = 4

type Speak = (choice: ChoiceRun, isFirst: boolean, isLast: boolean) => void

export class ChoiceRun implements TokenSink {
  readonly index: number
  readonly prompt: Uint32Array
  id = ''
  finish: string | null = null
  stopReason: string | null = null
  completionTokens = 0
  cachedTokens = 0
  blockIds: readonly number[] = []
  private readonly host: EngineHost
  private readonly request: GenerationRequest
  private readonly speak: Speak
  private readonly stopText: StopText
  private readonly interval: number
  private text = ''
  private tokenIds: number[] = []
  private spokenTokens = 0
  private isRunning = false
  private hasSpoken = false
  /** Characters of the forced text that were said. */
  private forcedChars = 0

  constructor(
    host: EngineHost,
    request: GenerationRequest,
    prompt: Uint32Array,
    index: number,
    speak: Speak,
  ) {
    this.host = host
    this.request = request
    this.prompt = prompt
    this.index = index
    this.speak = speak
    this.stopText = new StopText(request.stops)
    const { streamInterval, speed } = host.options
    const interval =
      request.streamInterval ?? streamInterval ?? Math.min(Math.ceil(speed), STREAM_INTERVAL_MAX)
    this.interval = request.isStream ? Math.max(interval, 1) : Infinity
  }

  /** Queues the choice under the engine's own request id; false when the engine is full. */
  submit(id: string, seed: number, role: TransferRole): boolean {
    const { host, request, prompt } = this
    this.id = id
    const room = host.contextTokensMax - prompt.length
    const isConsumer = role.kind === 'consumer'
    this.isRunning = host.engine.submit(
      {
        id,
        prompt,
        maxTokens: Math.min(request.maxTokens ?? room, room),
        minTokens: request.minTokens,
        // A forced text is as long as it is.
        ignoreEos: request.ignoreEos || request.forced !== null,
        seed,
        salt: request.cacheSalt,
        sessionId: request.sessionId,
        // The report mode is younger than 0.23.
        isReportFull: request.isReportFull && isCurrent(host.options.version),
        isProducer: role.kind === 'producer',
        // Without the prefill engine's count everything that came counts as cached.
        remote: isConsumer ? { cachedTokens: role.source.cachedTokens ?? prompt.length } : null,
      },
      this,
    )
    if (this.isRunning && isConsumer) host.transfers.add(id, role.source)
    return this.isRunning
  }

  cancel(): void {
    if (!this.isRunning) return
    this.isRunning = false
    this.host.engine.cancel(this.id)
    this.host.transfers.end(this.id)
  }

  onToken(sequence: TokenSequence): void {
    const isFirst = sequence.outputTokens === 1
    this.completionTokens++
    this.cachedTokens = sequence.cachedTokens
    if (this.request.returnsTokenIds) this.tokenIds.push(sequence.lastToken)
    const { text, stop } = this.stopText.push(this.wordsOf(sequence.lastToken), sequence.finish !== null)
    this.text += text
    this.finish = sequence.finish
    if (this.request.forced && this.forcedChars >= this.request.forced.text.length) {
      if (this.finish === null) this.host.engine.cancel(this.id, 'stop')
      this.finish = 'stop'
    }
    if (stop !== null) {
      this.finish = 'stop'
      this.stopReason = stop
      if (sequence.finish === null) this.host.engine.cancel(this.id, 'stop')
    }
    const isLast = this.finish !== null
    if (isLast) {
      this.isRunning = false
      this.blockIds = sequence.blocks
    } else if (!isFirst && this.completionTokens - this.spokenTokens < this.interval) {
      return
    }
    this.spokenTokens = this.completionTokens
    if (!isLast && !this.request.isStream) return
    const isOpening = !this.hasSpoken
    this.hasSpoken = true
    this.speak(this, isOpening, isLast)
  }

  private wordsOf(token: number): string {
    const { forced } = this.request
    if (!forced) return answerText(token)
    const said = forced.text.slice(this.forcedChars, this.forcedChars + FORCED_CHARS)
    this.forcedChars += said.length
    return said
  }

  /** What was said since the last call. */
  takeSaid(): { readonly text: string; readonly tokenIds: readonly number[] } {
    const said = { text: this.text, tokenIds: this.tokenIds }
    this.text = ''
    this.tokenIds = []
    return said
  }
}
