/** `npm run bench -- chaos`: storms, one for each seed. It fails when one of them had a wrong or lost answer, or did not heal. */
import { runChaos, type ChaosReport } from './chaos/storm.ts'
import { describeMachine } from './machine.ts'

export interface BenchChaosOptions {
  readonly seeds: number
  readonly seed: number
  readonly requests: number
  readonly kills: number
}

export async function benchChaos({ seeds, seed, requests, kills }: BenchChaosOptions): Promise<void> {
  const reports: ChaosReport[] = []
  for (let i = 0; i < seeds; i++) reports.push(await runChaos(seed + i, requests, kills))
  console.table(
    reports.map(
      ({ refused, wrong, kills: { prefill, handoff, decode }, healedMs, lossShare, ...counts }) => ({
        ...counts,
        'loss %': Number((lossShare * 100).toFixed(2)),
        killed: `${prefill} prefill, ${handoff} hand-off, ${decode} decode`,
        refused: refused.length,
        wrong: wrong.length,
        'healed ms': healedMs === null ? 'never' : Math.round(healedMs),
      }),
    ),
  )
  const faults = reports.flatMap(({ seed: of, refused, wrong, healedMs }) => [
    ...[...refused, ...wrong].map((what) => `seed ${of}: ${what}`),
    ...(healedMs === null ? [`seed ${of}: did not heal`] : []),
  ])
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exitCode = 1
  const { cpu, cores, node, commit } = describeMachine()
  console.log(`${cores} cores (${cpu}), Node ${node}, commit ${commit}`)
}
