/** `npm run sim -- directory`: the report protocol under every fault, seed by seed, and the check of the check. */
import { InvalidArgumentError, type Command } from 'commander'
import { playMutations, playSeeds } from './directory-sim/campaign.ts'
import { playStory } from './directory-sim/story.ts'
import { NO_FAULTS } from './directory-sim/faults.ts'

interface Options {
  readonly seeds: number
  readonly first: number
  readonly seed?: number
  readonly mutations?: true
}

export function addDirectoryCommand(program: Command): void {
  program
    .command('directory')
    .description('agents, directories and edges over a bad network: every invariant after every step')
    .option('--seeds <count>', 'how many seeds to play', wholeNumber, 100)
    .option('--first <seed>', 'the first of them', wholeNumber, 1)
    .option('--seed <seed>', 'play one seed again and say how it ends', wholeNumber)
    .option('--mutations', 'put each seeded fault into the code and see whether the simulation notices')
    .action((options: Options) => {
      const isWell =
        options.seed !== undefined
          ? replay(options.seed)
          : options.mutations
            ? checkMutations(options.first)
            : checkSeeds(options)
      if (!isWell) process.exitCode = 1
    })
}

function replay(seed: number): boolean {
  const run = playStory(seed, NO_FAULTS)
  print(JSON.stringify(run, null, 2))
  return run.violation === null
}

function checkSeeds({ first, seeds }: Options): boolean {
  const convergedMs: number[] = []
  let steps = 0
  let failed = 0
  const startMs = performance.now()
  for (const run of playSeeds(first, seeds)) {
    steps += run.steps
    if (run.convergedMs !== null) convergedMs.push(run.convergedMs)
    if (run.violation === null) continue
    failed++
    const { message, atMs } = run.violation
    print(`seed ${run.seed}: ${message} (at ${atMs} ms; npm run sim -- directory --seed ${run.seed})`)
  }
  convergedMs.sort((a, b) => a - b)
  const seconds = (performance.now() - startMs) / 1000
  print(
    `${seeds} seeds from ${first}: ${failed} with a violation; ${steps} steps checked in ${seconds.toFixed(1)} s; ` +
      `after the storm all agreed within ${convergedMs[convergedMs.length >> 1] ?? '-'} ms (median), ` +
      `${convergedMs.at(-1) ?? '-'} ms (longest)`,
  )
  return failed === 0
}

function checkMutations(first: number): boolean {
  let missed = 0
  for (const { mutation, run } of playMutations(first)) {
    if (run === null) missed++
    const found = run?.violation ? `seed ${run.seed}: ${run.violation.message}` : 'NOT NOTICED'
    print(`${mutation.name}\n    ${found}`)
  }
  print(missed === 0 ? 'every seeded fault is noticed' : `${missed} seeded faults go unnoticed`)
  return missed === 0
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('must be a whole number from 1')
  return value
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
