/** Which runs of a result belong together. */
import type { RunResult } from '../scenario/play.ts'
import type { ResultFile } from './result-file.ts'

export function variantsOf({ runs }: ResultFile): string[] {
  return [...new Set(runs.map(({ variant }) => variant))]
}

export function policiesOf({ runs }: ResultFile): string[] {
  return [...new Set(runs.map(({ policy }) => policy))]
}

/** The runs of one variant and policy, by seed. */
export function runsOf({ runs }: ResultFile, variant: string, policy: string): RunResult[] {
  return runs
    .filter((run) => run.variant === variant && run.policy === policy)
    .toSorted((a, b) => a.seed - b.seed)
}

/** Variants and policies that were played together, in the order of the file. */
export function pairsOf(result: ResultFile): (readonly [string, string])[] {
  return variantsOf(result).flatMap((variant) =>
    policiesOf(result).flatMap((policy) =>
      runsOf(result, variant, policy).length > 0 ? [[variant, policy] as const] : [],
    ),
  )
}
