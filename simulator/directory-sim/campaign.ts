/** Many seeds, and every seeded fault: what a run of the simulation is asked for. */
import { NO_FAULTS } from './faults.ts'
import { MUTATIONS, type Mutation } from './mutations.ts'
import { playStory, type Run } from './story.ts'

/** Seeds tried for one fault before it counts as unnoticed. */
export const MUTATION_SEEDS_MAX = 60

export interface MutationResult {
  readonly mutation: Mutation
  /** The run that noticed; null when none did. */
  readonly run: Run | null
}

/** The runs of the seeds from `first` on, each as it is done. */
export function* playSeeds(first: number, count: number): Generator<Run> {
  for (let seed = first; seed < first + count; seed++) yield playStory(seed, NO_FAULTS)
}

/** Each fault with the first seed whose run finds one of the invariants broken that it breaks. */
export function* playMutations(first = 1, seedsMax = MUTATION_SEEDS_MAX): Generator<MutationResult> {
  for (const mutation of MUTATIONS) {
    let noticed: Run | null = null
    for (let seed = first; seed < first + seedsMax && noticed === null; seed++) {
      const run = playStory(seed, mutation.faults)
      if (run.violation && mutation.breaks.includes(run.violation.invariant)) noticed = run
    }
    yield { mutation, run: noticed }
  }
}
