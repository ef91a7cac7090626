/** Drives an engine core in virtual time. */
import { EngineCore } from '../../simulator/engine/engine-core.ts'
import type { KvEvent } from '../../simulator/engine/kv-event.ts'
import { engineProfileSchema, type EngineProfile } from '../../simulator/engine/profile.ts'
import type { EngineRequest, TokenSequence } from '../../simulator/engine/token-sequence.ts'

export const SMALL: Partial<EngineProfile> = {
  blockTokens: 32,
  kvTokens: 12 * 32,
  contextTokensMax: 256,
  cpuKvTokens: 0,
}

export function core(
  profile: Partial<EngineProfile> = SMALL,
  speed = 1,
  reusesUnhashedFirst = true,
): EngineCore {
  return new EngineCore(engineProfileSchema.parse(profile), speed, reusesUnhashedFirst)
}

let made = 0

export function request(prompt: ArrayLike<number>, fields: Partial<EngineRequest> = {}): EngineRequest {
  return {
    id: `request-${made++}`,
    prompt: Uint32Array.from(prompt),
    maxTokens: 1,
    minTokens: 0,
    ignoreEos: true,
    seed: 7,
    salt: null,
    sessionId: null,
    isReportFull: false,
    isProducer: false,
    remote: null,
    ...fields,
  }
}

export function range(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i)
}

export interface Run {
  readonly batches: (readonly KvEvent[])[]
  readonly durationsMs: number[]
  readonly finished: TokenSequence[]
  endMs: number
}

/** Steps until nothing runs; `onStep` is called between the start and the end of each step. */
export function drive(
  engine: EngineCore,
  nowMs = 0,
  hooks: {
    onStep?: (step: number) => void
    onOutput?: (sequence: TokenSequence) => void
    stepsMax?: number
  } = {},
): Run {
  const run: Run = { batches: [], durationsMs: [], finished: [], endMs: nowMs }
  for (let steps = 0; steps < (hooks.stepsMax ?? 100_000); steps++) {
    const step = engine.startStep(run.endMs)
    if (step === null) {
      const wakeMs = engine.wakeMs()
      if (wakeMs === null || engine.waitingRequests === 0) return run
      run.endMs = Math.max(wakeMs, run.endMs)
      continue
    }
    hooks.onStep?.(steps)
    run.endMs += step.durationMs
    run.durationsMs.push(step.durationMs)
    const { outputs, events } = engine.finishStep(run.endMs)
    if (events.length > 0) run.batches.push(events)
    for (const sequence of outputs) {
      hooks.onOutput?.(sequence)
      if (sequence.finish !== null) run.finished.push(sequence)
    }
  }
  throw new Error('the engine does not come to rest')
}
