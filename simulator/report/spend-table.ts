/** What each policy makes of its GPUs and of the wide area. */
import { percent } from './cells.ts'
import type { Metrics } from './metrics.ts'
import type { ResultFile } from './result-file.ts'
import { pairsOf, runsOf } from './selection.ts'
import { interval } from './statistics.ts'
import type { Table } from './table-data.ts'

export function spendTable(result: ResultFile): Table {
  const rows = pairsOf(result).map(([variant, policy]) => {
    const all = runsOf(result, variant, policy).map(({ overall }) => overall)
    const of = (pick: (metrics: Metrics) => number) => interval(all.map(pick))
    const precisions = all.flatMap(({ precision }) => precision ?? [])
    return [
      variant,
      policy,
      of(({ goodputPerS }) => goodputPerS).mean.toFixed(2),
      precisions.length === 0 ? '–' : percent(interval(precisions)),
      of(({ prefillGpuMs }) => prefillGpuMs.computed).mean.toFixed(0),
      percent(of(({ prefillGpuMs: { computed, cold } }) => (cold === 0 ? 0 : 1 - computed / cold))),
      of(({ wideAreaBytes }) => wideAreaBytes / 1000).mean.toFixed(1),
    ]
  })
  return {
    title: 'What it spends',
    head: [
      'variant',
      'policy',
      'goodput req/s',
      'routing precision',
      'prefill GPU ms a request',
      'saved of a cold cache',
      'wide area kB a request',
    ],
    rows,
    note:
      `Goodput: served with a TTFT of at most ${result.kneeMs} ms. Precision: of the requests of which some engine held ` +
      'at least a quarter of the prompt, those sent to an engine with at least four fifths of the most that any held. ' +
      'Wide area: prompts and streamed answers; reports and heartbeats come on top.',
  }
}
