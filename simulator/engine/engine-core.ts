/** One engine of real tokens, driven by whoever has the clock: the scheduler with KV events for real wires. */
import { EventLog } from './event-log.ts'
import type { KvEvent } from './kv-event.ts'
import type { EngineProfile } from './profile.ts'
import { Scheduler } from './scheduler.ts'
import { TokenSequence, type EngineRequest } from './token-sequence.ts'

export interface StepResult {
  /** Sequences that got a token: `lastToken`, and `finish` when it was their last. */
  readonly outputs: readonly TokenSequence[]
  readonly events: readonly KvEvent[]
}

export class EngineCore extends Scheduler<bigint, TokenSequence> {
  private readonly events: EventLog

  constructor(profile: EngineProfile, speed = 1, reusesUnhashedFirst = true) {
    if (profile.lowerTiers.length > 0) throw new Error('real wires have no events for tiers behind DRAM')
    const events = new EventLog(profile.blockTokens)
    super(profile, speed, reusesUnhashedFirst, events)
    this.events = events
  }

  /** Queues a request; false when the engine is full or the id is in use. */
  submit(request: EngineRequest, nowMs: number): boolean {
    return this.enqueue(new TokenSequence(request, this.profile.blockTokens, nowMs))
  }

  /** The step of `startStep` is over: its tokens, and every event since the last one. */
  finishStep(nowMs: number): StepResult {
    return { outputs: this.endStep(nowMs), events: this.events.drain() }
  }
}
