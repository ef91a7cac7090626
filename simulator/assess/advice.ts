/** Whether KV-aware routing pays for this user: plain bounds, each beside the figure that was measured. */
import { OURS, type Forecast, type Gain } from './forecast.ts'
import type { TraceFacts } from './reuse.ts'

export interface Check {
  readonly name: string
  readonly measured: string
  readonly needed: string
  readonly holds: boolean
}

export interface Advice {
  readonly verdict: 'adopt' | 'do not adopt' | 'cannot tell'
  /** One sentence with the reasons. */
  readonly why: string
  readonly checks: readonly Check[]
}

/** Below it most of what a router could know of is recomputed anyway. */
export const REUSABLE_SHARE_MIN = 0.3
/** Recomputing less is quicker than a detour to where it is warm. */
export const PROMPT_TOKENS_MIN = 2000
/** With fewer there is little to choose between. */
export const GPUS_MIN = 8
/** A gain must exceed this with its whole interval: less is within what another rule or profile would change. */
export const GAIN_MIN = 0.05
/** Beyond it the trace overloads the fleet and figures are lengths of queues. */
export const OVERLOAD_P90_MS = 30_000

export function adviseOn(facts: TraceFacts, gpus: number, { estimates, gains }: Forecast): Advice {
  const checks: Check[] = [
    {
      name: 'reusable share of prompt tokens',
      measured: percent(facts.reusableShare),
      needed: `at least ${percent(REUSABLE_SHARE_MIN)}`,
      holds: facts.reusableShare >= REUSABLE_SHARE_MIN,
    },
    {
      name: 'median prompt',
      measured: `${facts.promptTokens.p50} tokens`,
      needed: `at least ${PROMPT_TOKENS_MIN}`,
      holds: facts.promptTokens.p50 >= PROMPT_TOKENS_MIN,
    },
    { name: 'GPUs', measured: String(gpus), needed: `at least ${GPUS_MIN}`, holds: gpus >= GPUS_MIN },
    gainCheck(gains),
  ]
  const ours = estimates.find(({ policy }) => policy === OURS)
  if (ours && ours.ttftMs.p90.mean > OVERLOAD_P90_MS) {
    return {
      verdict: 'cannot tell',
      why: `the trace overloads this fleet (TTFT p90 ${Math.round(ours.ttftMs.p90.mean / 1000)} s): give more --endpoints, or --size`,
      checks,
    }
  }
  const failed = checks.filter(({ holds }) => !holds)
  if (failed.length === 0)
    return {
      verdict: 'adopt',
      why: checks.map(({ name, measured }) => `${name} ${measured}`).join(', '),
      checks,
    }
  return {
    verdict: 'do not adopt',
    why: failed.map(({ name, measured, needed }) => `${name} ${measured}, ${needed} needed`).join('; '),
    checks,
  }
}

/**
 * The alternative that is hardest to beat on p90 TTFT decides. Prefill that is spared pays too, unless callers wait longer
 * for it.
 */
function gainCheck(gains: readonly Gain[]): Check {
  const surest = ({ mean, half }: Gain['ttftP90']) => mean + (half ?? 0)
  const hardest = gains.toSorted((a, b) => b.ttftP90.mean - a.ttftP90.mean)[0]
  if (!hardest) return { name: 'gain', measured: 'none', needed: 'an alternative', holds: false }
  const { against, ttftP90, prefillGpu } = hardest
  const isFaster = surest(ttftP90) <= -GAIN_MIN
  const isCheaper = surest(prefillGpu) <= -GAIN_MIN && ttftP90.mean <= GAIN_MIN
  return {
    name: `change against ${against}`,
    measured: `TTFT p90 ${signed(ttftP90)}, prefill GPU time ${signed(prefillGpu)}`,
    needed: `one of them at least ${percent(GAIN_MIN)} less with its whole interval, and TTFT not more`,
    holds: isFaster || isCheaper,
  }
}

export function signed({ mean, half }: { readonly mean: number; readonly half: number | null }): string {
  const text = `${mean > 0 ? '+' : ''}${(mean * 100).toFixed(1)}`
  return half === null ? `${text} %` : `${text} ± ${(half * 100).toFixed(1)} %`
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`
}
