/** `npm run sim -- run SCENARIO`: plays a scenario under policies and seeds, shows progress, and writes what came of it. */
import { writeFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import cliProgress from 'cli-progress'
import { InvalidArgumentError, type Command } from 'commander'
import { policyByName, policyNames } from './policies/catalogue.ts'
import { consoleTable } from './report/console-table.ts'
import { RESULT_FORMAT, type ResultFile } from './report/result-file.ts'
import { play, type RunResult } from './scenario/play.ts'
import { withVariant } from './scenario/scenario.ts'
import { timedPolicy } from './policies/timed.ts'
import { tuneGorgo } from './tuning.ts'
import { readScenario, readTrace, scenarioNames } from './scenario-file.ts'

interface RunFlags {
  readonly scenario?: string
  readonly policies: string
  readonly variants: string
  readonly seeds: number
  readonly firstSeed: number
  readonly trace?: string
  readonly json?: string
  readonly progress: boolean
}

export function addRunCommand(program: Command): void {
  program
    .command('run')
    .description(`plays a scenario: ${scenarioNames().join(', ')}`)
    .argument('[name]', 'scenario of the repository')
    .option('--scenario <file>', 'a scenario file of your own')
    .option('--policies <list>', `all, or names divided by commas: ${policyNames().join(', ')}`, 'all')
    .option('--variants <list>', 'all, or names divided by commas', 'all')
    .option('--seeds <count>', 'seeds to play', parseCount, 3)
    .option('--first-seed <seed>', 'the first of them', parseCount, 1)
    .option('--trace <file>', "a trace in Mooncake's format, for scenarios that play one")
    .option('--json <file>', 'writes the results; equal seeds give equal bytes')
    .option('--no-progress', 'no progress bar')
    .action((name: string | undefined, flags: RunFlags) => {
      try {
        runScenario(name, flags)
      } catch (error) {
        process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
        process.exitCode = 1
      }
    })
}

function runScenario(name: string | undefined, flags: RunFlags): void {
  const wanted = flags.scenario ?? name
  if (wanted === undefined) throw new Error(`name a scenario: ${scenarioNames().join(', ')}`)
  const file = readScenario(wanted)
  const { scenario, raw, source } = file
  const policies = (flags.policies === 'all' ? scenario.policies : flags.policies.split(',')).map(
    (policy) => {
      if (policy === 'gorgo') return null
      const found = policyByName(policy)
      if (!found) throw new Error(`no policy '${policy}'; there are ${policyNames().join(', ')}`)
      return found
    },
  )
  const all = scenario.variants.length > 0 ? scenario.variants : [{ name: '', set: {} }]
  const names = flags.variants.split(',')
  const variants = flags.variants === 'all' ? all : all.filter((variant) => names.includes(variant.name))
  if (variants.length === 0)
    throw new Error(`no such variant; there are ${all.map((v) => v.name).join(', ')}`)
  const built = variants.map((variant) => ({
    name: variant.name,
    scenario: withVariant(raw, variant, source),
  }))
  const tracePath = flags.trace ?? (scenario.workload.kind === 'trace' ? scenario.workload.trace : undefined)
  const trace = tracePath === undefined ? null : readTrace(tracePath)
  const bar = flags.progress
    ? new cliProgress.SingleBar({ etaBuffer: 20, format: '{bar} {value}/{total} {what}' })
    : null
  bar?.start(built.length * policies.length * flags.seeds, 0, { what: '' })
  const runs: RunResult[] = []
  const decisions = new Map<string, { totalMs: number; requests: number }>()
  const startMs = performance.now()
  const startCpu = process.cpuUsage()
  for (const variant of built) {
    for (const known of policies) {
      const policy = known ?? tuneGorgo(variant.scenario, flags.firstSeed, trace)
      for (let seed = flags.firstSeed; seed < flags.firstSeed + flags.seeds; seed++) {
        bar?.update({ what: `${variant.name} ${policy.name} seed ${seed}` })
        const time = decisions.get(policy.name) ?? { totalMs: 0, requests: 0 }
        decisions.set(policy.name, time)
        const timed = timedPolicy(policy, time, () => performance.now())
        const run = play(variant.scenario, variant.name, timed, seed, trace)
        time.requests += run.played
        runs.push(run)
        bar?.increment()
      }
    }
  }
  bar?.stop()
  const seconds = (performance.now() - startMs) / 1000
  const played = runs.reduce((sum, run) => sum + run.played, 0)
  const result: ResultFile = {
    format: RESULT_FORMAT,
    scenario: scenario.name,
    title: scenario.title,
    baseline: scenario.baseline ?? null,
    kneeMs: scenario.kneeMs,
    seeds: flags.seeds,
    runs,
  }
  process.stdout.write(`${consoleTable(result)}\n`)
  const paces = [...decisions].map(
    ([policy, { totalMs, requests }]) => `${policy} ${((totalMs * 1000) / Math.max(requests, 1)).toFixed(0)}`,
  )
  process.stdout.write(
    `decision, µs a request (wall time, the lookups of the simulated index included): ${paces.join(', ')}\n`,
  )
  const cpu = process.cpuUsage(startCpu)
  const cpuSeconds = (cpu.user + cpu.system) / 1e6
  process.stdout.write(
    `${played} requests in ${seconds.toFixed(1)} s (${cpuSeconds.toFixed(1)} s of processor): ` +
      `${Math.round(played / seconds)} simulated requests a second, ${Math.round(played / cpuSeconds)} a processor second\n`,
  )
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(result, roundNumbers)}\n`)
}

/** Five significant digits: more would be noise in the file. */
function roundNumbers(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('a whole number from 1 on')
  return count
}
