/**
 * How far a batch that only decodes can go on without the scheduler: until a sequence ends or new blocks run out. Who
 * waits for space waits through a stride too, since only an end frees any.
 */
import type { KvSpace } from './kv-space.ts'
import type { Sequence } from './sequence.ts'

/** A step under way. */
export interface Step {
  readonly durationMs: number
  /** Steps like this one that may follow it before anything but decoding happens; a stride of all takes one call. */
  readonly moreSteps: number
  /** By how much each of those takes longer than the one before. */
  readonly slopeMs: number
}

/** Steps that may follow the one just started, all of it alike. A first token ends its step, so that its time is known. */
export function strideStepsMax<H, S extends Sequence<H>>(
  batch: readonly S[],
  space: KvSpace<H, S>,
  contextTokensMax: number,
): number {
  let steps = Infinity
  for (const { request, length, outputTokens } of batch) {
    if (outputTokens === 0) return 0
    steps = Math.min(steps, request.maxTokens - outputTokens - 1, contextTokensMax - length - 1)
  }
  while (steps > 0 && blocksOf(batch, space, steps) > space.pool.free) steps = Math.floor(steps / 2)
  return Math.max(steps, 0)
}

function blocksOf<H, S extends Sequence<H>>(
  batch: readonly S[],
  space: KvSpace<H, S>,
  steps: number,
): number {
  let blocks = 0
  for (const sequence of batch) {
    blocks += Math.max(space.blocksFor(sequence.computed + steps) - sequence.blocks.length, 0)
  }
  return blocks
}

/** Milliseconds of `steps` steps of which the first takes `durationMs` and each later one `slopeMs` more. */
export function strideMs(durationMs: number, slopeMs: number, steps: number): number {
  return steps * durationMs + (slopeMs * steps * (steps - 1)) / 2
}

/** The least number of steps that takes `ms` or longer. */
export function strideStepsAt(durationMs: number, slopeMs: number, ms: number): number {
  if (ms <= durationMs) return 1
  const linear = durationMs - slopeMs / 2
  const steps =
    slopeMs > 0
      ? (Math.sqrt(linear * linear + 2 * slopeMs * ms) - linear) / slopeMs
      : ms / Math.max(durationMs, 1e-9)
  // A step boundary that rounding puts a hair before `ms` counts as `ms`.
  return Math.max(Math.ceil(steps - 1e-9), 1)
}
