import { expect, test } from 'vitest'
import { playMutations, playSeeds } from '../../../simulator/directory-sim/campaign.ts'
import { NO_FAULTS } from '../../../simulator/directory-sim/faults.ts'
import { playStory } from '../../../simulator/directory-sim/story.ts'

/** `npm run sim -- directory --seeds 1000` is the long form of the first, `--mutations` the second. */
const SEEDS = 20
const BOUND_MS = 180_000

test(
  'every directory comes to equal every agent, and no step breaks an invariant',
  () => {
    const violations = [...playSeeds(1, SEEDS)].flatMap(({ seed, violation }) =>
      violation ? [`seed ${seed}: ${violation.message}`] : [],
    )
    expect(violations).toEqual([])
  },
  BOUND_MS,
)

test(
  'every seeded fault is noticed',
  () => {
    const unnoticed = [...playMutations()].flatMap(({ mutation, run }) =>
      run === null ? [mutation.name] : [],
    )
    expect(unnoticed).toEqual([])
  },
  BOUND_MS,
)

/** Both ended with an outcome that waited a minute for its next try, while ledgers failed on in the calm. */
test.each([346, 900])(
  'seed %i converges although a ledger refused an outcome five times in a row',
  (seed) => {
    expect(playStory(seed, NO_FAULTS).violation).toBeNull()
  },
)

test('a seed is a run', () => {
  expect(playStory(4, NO_FAULTS)).toEqual(playStory(4, NO_FAULTS))
})
