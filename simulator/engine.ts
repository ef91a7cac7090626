/**
 * The clock of one simulated engine: turns the core's steps into timers, hands out tokens, and sleeps while idle. Step
 * ends are planned on a timeline of their own, so late timers do not add up.
 */
import type { EngineOptions } from './engine-options.ts'
import { EngineCore, type StepResult } from './engine/engine-core.ts'
import type { KvEvent } from './engine/kv-event.ts'
import type { EngineRequest, TokenSequence } from './engine/token-sequence.ts'
import { isCurrent } from './wire/engine-version.ts'
import { EngineHistograms } from './wire/metrics.ts'

/** A timer this late is caught up with; a later one means that the machine is overloaded, and the lag is dropped. */
const LAG_MS_MAX = 100
/** Steps that may be caught up with before other work gets its turn. */
const STEPS_PER_TURN_MAX = 16

/** Who asked: called once for each token, in order. */
export interface TokenSink {
  onToken(sequence: TokenSequence): void
}

export interface EngineListeners {
  onEvents(events: readonly KvEvent[]): void
  /** The KV of a decode leg is here: its prefill engine can let go. */
  onLoaded(sequence: TokenSequence): void
}

export class Engine {
  readonly core: EngineCore
  readonly histograms = new EngineHistograms()
  private readonly listeners: EngineListeners
  private readonly sinks = new Map<string, TokenSink>()
  private timer: NodeJS.Timeout | null = null
  private isStepping = false
  private isTurnPlanned = false
  private isStopped = false
  private stepEndMs = 0

  constructor({ profile, speed, version }: EngineOptions, listeners: EngineListeners) {
    this.core = new EngineCore(profile, speed, isCurrent(version))
    this.listeners = listeners
  }

  /** Queues a request; false when the engine is full. */
  submit(request: EngineRequest, sink: TokenSink): boolean {
    if (this.isStopped || !this.core.submit(request, performance.now())) return false
    this.sinks.set(request.id, sink)
    this.wake()
    return true
  }

  /** Ends a request early. */
  cancel(id: string, reason: 'abort' | 'stop' = 'abort'): void {
    if (!this.core.cancel(id, reason)) return
    this.sinks.delete(id)
    this.wake()
  }

  endLease(id: string): void {
    this.core.endLease(id)
    this.wake()
  }

  /** Looks for work in the next turn of the event loop, so that what comes together runs in one batch. */
  wake(): void {
    if (this.isStepping || this.isTurnPlanned || this.isStopped) return
    this.isTurnPlanned = true
    setImmediate(() => {
      this.isTurnPlanned = false
      if (!this.isStepping && !this.isStopped) this.run(performance.now())
    })
  }

  stop(): void {
    this.isStopped = true
    this.clearTimer()
    this.sinks.clear()
  }

  /** Starts steps from `nowMs` on, and finishes those that are over already. */
  private run(nowMs: number): void {
    this.clearTimer()
    let startMs = nowMs
    for (let steps = 0; ; steps++) {
      const step = this.core.startStep(startMs)
      for (const sequence of this.core.drainLoaded()) this.listeners.onLoaded(sequence)
      if (step === null) {
        this.sleep(startMs)
        return
      }
      this.isStepping = true
      this.stepEndMs = startMs + step.durationMs
      const waitMs = this.stepEndMs - performance.now()
      if (waitMs > 0 || steps >= STEPS_PER_TURN_MAX) {
        this.timer = setTimeout(() => this.finish(), Math.max(waitMs, 0))
        return
      }
      this.endStep()
      if (this.isStopped) return
      startMs = this.nextStartMs()
    }
  }

  private finish(): void {
    this.timer = null
    this.endStep()
    if (!this.isStopped) this.run(this.nextStartMs())
  }

  private nextStartMs(): number {
    const nowMs = performance.now()
    return nowMs - this.stepEndMs > LAG_MS_MAX ? nowMs : this.stepEndMs
  }

  private endStep(): void {
    this.isStepping = false
    const result = this.core.finishStep(this.stepEndMs)
    if (result.events.length > 0) this.listeners.onEvents(result.events)
    this.deliver(result)
  }

  private deliver({ outputs }: StepResult): void {
    for (const sequence of outputs) {
      const { id } = sequence.request
      const sink = this.sinks.get(id)
      this.record(sequence)
      if (sequence.finish !== null) this.sinks.delete(id)
      sink?.onToken(sequence)
    }
  }

  private record(sequence: TokenSequence): void {
    const endMs = this.stepEndMs
    if (sequence.outputTokens === 1) {
      this.histograms.timeToFirstToken.record((endMs - sequence.arrivalMs) / 1000)
      this.histograms.queueTime.record((sequence.admittedMs - sequence.arrivalMs) / 1000)
      this.histograms.prefillTime.record((endMs - sequence.admittedMs) / 1000)
    } else {
      this.histograms.interTokenLatency.record(sequence.gapMs / 1000)
    }
    if (sequence.finish === null) return
    this.histograms.decodeTime.record((endMs - sequence.firstTokenMs) / 1000)
    this.histograms.e2eLatency.record((endMs - sequence.arrivalMs) / 1000)
  }

  private sleep(nowMs: number): void {
    const wakeMs = this.core.wakeMs()
    if (wakeMs === null) return
    this.timer = setTimeout(() => this.run(performance.now()), Math.max(wakeMs - nowMs, 1))
  }

  private clearTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }
}
