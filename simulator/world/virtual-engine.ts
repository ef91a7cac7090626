/** One engine in virtual time: the scheduler of real wires, driven by the run's clock, in strides while it only decodes. */
import { BlockSequence, type BlockRequest } from '../engine/block-sequence.ts'
import type { KvLog } from '../engine/kv-log.ts'
import type { EngineProfile } from '../engine/profile.ts'
import { Scheduler } from '../engine/scheduler.ts'
import { strideMs, strideStepsAt, type Step } from '../engine/stride.ts'
import type { Clock } from './clock.ts'

export interface EngineListener {
  onFirstToken(sequence: BlockSequence): void
  onFinish(sequence: BlockSequence): void
  /** The KV of a decode leg is here. */
  onPulled(sequence: BlockSequence): void
}

export class VirtualEngine {
  readonly profile: EngineProfile
  scheduler: Scheduler<number, BlockSequence>
  isDead = false
  private readonly clock: Clock
  private readonly log: KvLog<number, BlockSequence>
  private readonly listener: EngineListener
  private step: Step | null = null
  private steps = 0
  private startMs = 0
  /** Events of an older plan are ignored. */
  private plan = 0

  constructor(
    profile: EngineProfile,
    clock: Clock,
    log: KvLog<number, BlockSequence>,
    listener: EngineListener,
  ) {
    this.profile = profile
    this.clock = clock
    this.log = log
    this.listener = listener
    this.scheduler = new Scheduler(profile, 1, true, log)
  }

  /** Queues a request, at once or when its adapter is loaded; null when the engine is full or dead. */
  submit(request: BlockRequest, adapterMs: number, loadStallMs: number): BlockSequence | null {
    if (this.isDead) return null
    const sequence = new BlockSequence(request, this.clock.nowMs)
    sequence.loadStallMs = loadStallMs
    if (adapterMs > 0) {
      const { scheduler } = this
      this.clock.at(this.clock.nowMs + adapterMs, () => {
        if (scheduler === this.scheduler && scheduler.enqueue(sequence)) this.interrupt()
      })
      return sequence
    }
    if (!this.scheduler.enqueue(sequence)) return null
    this.interrupt()
    return sequence
  }

  cancel(id: string): void {
    // The batch under way keeps its time; its next step is formed anew.
    if (this.scheduler.cancel(id)) this.interrupt()
  }

  endLease(id: string): void {
    this.scheduler.endLease(id)
    this.interrupt()
  }

  /** Everything in it is gone. */
  kill(): void {
    this.isDead = true
    this.plan++
    this.step = null
    this.log.cleared()
    this.scheduler = new Scheduler(this.profile, 1, true, this.log)
  }

  revive(): void {
    this.isDead = false
  }

  /** Ends a stride with the step that runs now. */
  private interrupt(): void {
    if (this.isDead) return
    const { nowMs } = this.clock
    if (this.step === null) {
      this.begin()
      return
    }
    if (this.steps === 1) return
    const { durationMs, slopeMs } = this.step
    const steps = strideStepsAt(durationMs, slopeMs, nowMs - this.startMs)
    if (steps < this.steps) this.schedule(this.step, steps)
  }

  private begin(): void {
    const { nowMs } = this.clock
    this.startMs = nowMs
    this.step = this.scheduler.startStep(nowMs)
    for (const sequence of this.scheduler.drainLoaded()) this.listener.onPulled(sequence)
    const wakeMs = this.scheduler.wakeMs()
    if (this.step === null) {
      if (wakeMs !== null) this.wakeAt(wakeMs)
      return
    }
    const { durationMs, slopeMs, moreSteps } = this.step
    let steps = moreSteps + 1
    if (wakeMs !== null && steps > 1) {
      steps = Math.min(steps, strideStepsAt(durationMs, slopeMs, wakeMs - nowMs))
    }
    this.schedule(this.step, steps)
  }

  private schedule({ durationMs, slopeMs }: Step, steps: number): void {
    this.steps = steps
    const plan = ++this.plan
    this.clock.at(this.startMs + strideMs(durationMs, slopeMs, steps), () => {
      if (plan === this.plan) this.end()
    })
  }

  private wakeAt(ms: number): void {
    const plan = ++this.plan
    this.clock.at(ms, () => {
      if (plan === this.plan && this.step === null) this.begin()
    })
  }

  private end(): void {
    const outputs = this.scheduler.endStep(this.clock.nowMs, this.steps)
    const { plan } = this
    for (const sequence of outputs) {
      if (sequence.outputTokens === 1) this.listener.onFirstToken(sequence)
      if (sequence.finish !== null) this.listener.onFinish(sequence)
    }
    // A listener that ended a lease of an idle engine, or killed this one, has made a plan of its own.
    if (plan === this.plan) this.begin()
  }
}
