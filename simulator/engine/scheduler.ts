/**
 * The engine's scheduler: continuous batching, FIFO admission, chunked prefill mixed with decode. It has no clock:
 * `startStep` forms a batch and says how long it takes, `endStep` at that time gives its tokens. Blocks are cached when
 * their step is scheduled, so an equal prompt in the same step already hits them (vLLM V1).
 */
import { planAdmission } from './admission.ts'
import { zeroCounters, type EngineCounters } from './counters.ts'
import type { KvLog } from './kv-log.ts'
import { KvSpace } from './kv-space.ts'
import { LeaseTable } from './lease-table.ts'
import { LoadQueue } from './load-queue.ts'
import { contextTokensMax, type EngineProfile } from './profile.ts'
import type { Sequence } from './sequence.ts'
import { addWork, emptyWork, stepMs, type StepWork } from './step-law.ts'
import { strideStepsMax, type Step } from './stride.ts'

/** vLLM's limit is off by default, a simulator's memory is not endless. */
export const REQUESTS_MAX = 8192

/** One engine, driven by whoever has the clock; virtual time takes strides of many equal decode steps at once. */
export class Scheduler<H, S extends Sequence<H>> {
  readonly profile: EngineProfile
  readonly speed: number
  readonly counters: EngineCounters = zeroCounters()
  readonly space: KvSpace<H, S>
  readonly leases = new LeaseTable()
  private readonly contextTokensMax: number
  private readonly byId = new Map<string, S>()
  private readonly waiting: S[] = []
  private readonly running: S[] = []
  private readonly loads: LoadQueue<S>
  private batch: S[] = []
  private loaded: S[] = []

  constructor(profile: EngineProfile, speed: number, reusesUnhashedFirst: boolean, log: KvLog<H, S>) {
    this.profile = profile
    this.speed = speed
    this.space = new KvSpace(profile, reusesUnhashedFirst, log)
    this.loads = new LoadQueue(profile, this.space.lower.tiers, speed)
    this.contextTokensMax = contextTokensMax(profile)
  }

  get runningRequests(): number {
    return this.running.length
  }

  /** Requests that wait for space, for a load, or for their turn. */
  get waitingRequests(): number {
    return this.waiting.length
  }

  get loadingRequests(): number {
    return this.loads.size
  }

  get kvUsage(): number {
    return 1 - this.space.pool.free / this.space.pool.usable
  }

  /** Queues a request; false when the engine is full or the id is in use. */
  enqueue(sequence: S): boolean {
    const { id } = sequence.request
    if (this.byId.size >= REQUESTS_MAX || this.byId.has(id)) return false
    this.byId.set(id, sequence)
    this.waiting.push(sequence)
    return true
  }

  /** Ends a request early; its blocks are free at once and stay cached. */
  cancel(id: string, reason: 'abort' | 'stop' = 'abort'): boolean {
    const sequence = this.byId.get(id)
    if (!sequence) return false
    this.counters.finished[reason]++
    this.remove(sequence)
    this.space.release(sequence)
    return true
  }

  /** Forms the next batch. Null when nothing can run; then `wakeMs` says when to ask again. */
  startStep(nowMs: number): Step | null {
    for (const blocks of this.leases.expire(nowMs)) this.space.pool.release(blocks)
    this.endLoads(nowMs)
    const work = emptyWork()
    this.batch = []
    let budget = this.profile.batchTokensMax
    let hasPreempted = false
    for (let i = 0; i < this.running.length && budget > 0; i++) {
      const sequence = this.running[i]
      if (!sequence) break
      const tokens = Math.min(sequence.length - sequence.computed, budget)
      while (!this.space.allocate(sequence, sequence.computed + tokens)) {
        hasPreempted = true
        this.preemptNewest()
        if (sequence.state !== 'running') break
      }
      if (sequence.state !== 'running') break
      addWork(work, tokens, sequence.computed, false)
      this.schedule(sequence, tokens)
      budget -= tokens
    }
    if (!hasPreempted || this.batch.length === 0) this.admit(budget, work, nowMs)
    if (this.batch.length === 0) return null
    this.counters.steps++
    const isSteady = !hasPreempted && work.prefillTokens === 0
    return {
      durationMs: stepMs(this.profile, work) / this.speed,
      moreSteps: isSteady ? strideStepsMax(this.batch, this.space, this.contextTokensMax) : 0,
      slopeMs: (work.decodes * this.profile.decode.msPerContextToken) / this.speed,
    }
  }

  /** The step of `startStep`, or a stride, is over: the sequences that got a token. */
  endStep(nowMs: number, steps = 1): S[] {
    const outputs: S[] = []
    // Before anything ends: what ends in the last step frees no block for those before it.
    for (const sequence of this.batch) this.advance(sequence, steps - 1)
    for (const sequence of this.batch) {
      if (sequence.state === 'finished') continue
      this.space.offload(sequence)
      if (sequence.computed < sequence.length) continue
      this.sample(sequence, nowMs)
      outputs.push(sequence)
    }
    this.batch = []
    return outputs
  }

  /** When something changes without a step: a load or a lease ends. Null when nothing is pending. */
  wakeMs(): number | null {
    const endMs = Math.min(this.leases.nextEndMs ?? Infinity, this.loads.nextEndMs ?? Infinity)
    return endMs < Infinity ? endMs : null
  }

  /** Decode legs whose KV has arrived since the last call: their prefill engines can let go. */
  drainLoaded(): readonly S[] {
    return this.loaded.splice(0)
  }

  /** A decode engine has read what lease `id` holds. */
  endLease(id: string): void {
    const blocks = this.leases.end(id)
    if (blocks !== null) this.space.pool.release(blocks)
  }

  /** First come, first served; but who already holds blocks never waits behind one who finds no space. */
  private admit(budgetTokens: number, work: StepWork, nowMs: number): void {
    let budget = budgetTokens
    let isBlocked = false
    for (let i = 0; i < this.waiting.length && budget > 0;) {
      const sequence = this.waiting[i]
      if (!sequence || this.running.length >= this.profile.sequencesMax) return
      const place = this.place(sequence, isBlocked, nowMs)
      const tokens = Math.min(sequence.length - sequence.computed, budget)
      if (place !== 'ready' || !this.space.allocate(sequence, sequence.computed + tokens)) {
        isBlocked ||= place !== 'loading'
        i++
        continue
      }
      this.waiting.splice(i, 1)
      sequence.state = 'running'
      this.running.push(sequence)
      addWork(work, tokens, sequence.computed, true)
      this.schedule(sequence, tokens)
      budget -= tokens
    }
  }

  private place(sequence: S, isBlocked: boolean, nowMs: number): 'ready' | 'loading' | 'blocked' {
    if (sequence.state === 'loading') return 'loading'
    if (sequence.isPrepared) return 'ready'
    if (isBlocked || !this.prepare(sequence, nowMs)) return 'blocked'
    if (sequence.loadSource === null) return 'ready'
    this.space.allocate(sequence, sequence.computed + sequence.loadedTokens)
    this.loads.start(sequence, nowMs)
    return 'loading'
  }

  /** Finds what is cached and pins it, if the whole prompt and one block more fit beside what others still need. */
  private prepare(sequence: S, nowMs: number): boolean {
    const match = this.space.match(sequence)
    const needed = this.space.blocksFor(sequence.length) - match.gpuBlocks.length
    const spare = this.running.length + this.loads.size > 0 ? 1 : 0
    if (needed + spare + this.space.reservedBlocks(this.running, this.waiting) > this.space.freeBehind(match))
      return false
    this.space.pin(sequence, match)
    sequence.isPrepared = true
    planAdmission(sequence, match, this.profile, this.counters, nowMs)
    return true
  }

  /** Loaded blocks become cached; their requests keep their place in the queue. */
  private endLoads(nowMs: number): void {
    for (const sequence of this.loads.takeEnded(nowMs)) {
      const tokens = sequence.computed + sequence.loadedTokens
      this.space.cache(sequence, tokens)
      // A whole prompt that was loaded computes its last token again, for the logits.
      sequence.computed = Math.min(tokens, sequence.length - 1)
      sequence.state = 'waiting'
      sequence.loadedMs = nowMs
      if (sequence.loadSource === 'remote') this.loaded.push(sequence)
      sequence.loadSource = null
    }
  }

  private schedule(sequence: S, tokens: number): void {
    sequence.scheduled = tokens
    sequence.computed += tokens
    this.space.cache(sequence, sequence.computed)
    this.batch.push(sequence)
  }

  /** The steps of a stride but the last: its bounds made sure of the space. */
  private advance(sequence: S, tokens: number): void {
    if (tokens === 0 || sequence.state === 'finished') return
    sequence.grow(tokens)
    sequence.computed += tokens
    this.counters.generatedTokens += tokens
    this.space.allocate(sequence, sequence.computed)
    this.space.cache(sequence, sequence.computed)
  }

  private sample(sequence: S, nowMs: number): void {
    const { request } = sequence
    this.counters.generatedTokens++
    const finish = sequence.sample(this.contextTokensMax, nowMs)
    if (finish === null) return
    this.counters.finished[finish]++
    this.remove(sequence)
    if (request.isProducer) this.leases.grant(request.id, sequence.blocks, request.seed, nowMs)
    else this.space.release(sequence)
  }

  private preemptNewest(): void {
    const sequence = this.running.pop()
    if (!sequence) return
    this.batch = this.batch.filter((other) => other !== sequence)
    this.counters.preemptions++
    sequence.preempt()
    this.space.release(sequence)
    this.waiting.unshift(sequence)
  }

  private remove(sequence: S): void {
    const list = sequence.state === 'running' ? this.running : this.waiting
    list.splice(list.indexOf(sequence), 1)
    this.loads.delete(sequence)
    sequence.state = 'finished'
    this.byId.delete(sequence.request.id)
  }
}
