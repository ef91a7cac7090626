/** An assessment as text for a terminal. */
import type { Interval } from '../report/statistics.ts'
import { percent, signed } from './advice.ts'
import type { Assessment, SizeAnswer } from './assessment.ts'

export function assessmentText(assessment: Assessment): string {
  const { fleet, speed, seeds, advice, forecast } = assessment
  const { endpoints, gpus, regions, profile } = fleet
  return [
    ...traceLines(assessment),
    '',
    `Where reuse beats computing again on ${profile}, by the cost model`,
    table(
      ['taken from', 'pays from tokens', 'share of prompt tokens', 'saves ms a request'],
      assessment.breakEvens.map(({ source, tokens, share, savedMs }) => [
        source,
        tokens === null ? 'never' : String(tokens),
        percent(share),
        savedMs.toFixed(0),
      ]),
    ),
    '',
    `The trace on ${endpoints} endpoints (${gpus} GPUs) in ${regions} ${regions === 1 ? 'region' : 'regions'}, load x ${speed}, ` +
      `${seeds} seeds; ± is half of a 95 % interval`,
    table(
      ['routing', 'TTFT p50 ms', 'p90', 'p99', 'cached', 'prefill GPU ms a request', 'away', 'lost'],
      forecast.estimates.map(({ policy, ttftMs, hitShare, prefillGpuMs, awayShare, lost }) => [
        policy,
        ms(ttftMs.p50),
        ms(ttftMs.p90),
        ms(ttftMs.p99),
        percent(hitShare.mean),
        ms(prefillGpuMs),
        percent(awayShare.mean),
        String(lost),
      ]),
    ),
    '',
    'Isotherm against each, paired by seed; negative is less',
    table(
      ['against', 'TTFT p50', 'p90', 'p99', 'prefill GPU time'],
      forecast.gains.map(({ against, ttftP50, ttftP90, ttftP99, prefillGpu }) => [
        against,
        ...[ttftP50, ttftP90, ttftP99, prefillGpu].map(signed),
      ]),
    ),
    ...(assessment.size ? ['', ...sizeLines(assessment.size, gpus / endpoints)] : []),
    '',
    `Advice: ${advice.verdict}: ${advice.why}`,
    ...advice.checks.map(
      ({ name, measured, needed, holds }) => `  ${holds ? 'yes' : 'no '}  ${name}: ${measured} (${needed})`,
    ),
  ].join('\n')
}

function traceLines({ trace, facts, tooLong, notPlayed }: Assessment): string[] {
  const { promptTokens, outputTokens, reuseAgeS } = facts
  const notes = [
    trace.cut && `reading ended at ${trace.cut}`,
    notPlayed > 0 && `${notPlayed} later requests were not looked at (--requests)`,
    tooLong > 0 && `${tooLong} requests are longer than an engine takes and were left out`,
    trace.guessedAnswers > 0 &&
      `${trace.guessedAnswers} answers have a guessed length: neither usage nor answer is logged`,
    trace.models.length > 1 && `${trace.models.length} models, played as one: choose with --model`,
    trace.malformed.lines > 0 &&
      `${trace.malformed.lines} malformed lines were left out: ${trace.malformed.first.join('; ')}`,
  ].filter((note) => typeof note === 'string')
  const today =
    trace.cachedShareToday === null
      ? ''
      : `; ${percent(trace.cachedShareToday)} of them were cached when they were logged`
  return [
    `Trace: ${facts.requests} requests of ${facts.sessions} sessions in ${facts.minutes.toFixed(1)} min (${facts.requestsPerS.toFixed(2)}/s)`,
    `  prompts p50 ${promptTokens.p50}, p90 ${promptTokens.p90}, p99 ${promptTokens.p99} tokens; answers p50 ${outputTokens.p50}, p90 ${outputTokens.p90}`,
    `  ${percent(facts.reusableShare)} of all prompt tokens were a prefix before${today}`,
    `  of these ${percent(facts.sameSessionShare)} lie in the same session; half come again within ${reuseAgeS.p50} s, nine tenths within ${reuseAgeS.p90} s`,
    `  a cache of all of it would hold ${(facts.distinctTokens / 1e6).toFixed(1)} M tokens`,
    ...notes.map((note) => `  ! ${note}`),
  ]
}

function sizeLines(size: SizeAnswer, gpusEach: number): string[] {
  const { slo, smallest, withoutMemory, alternatives, points } = size
  const bounds = [
    `TTFT p90 <= ${slo.ttftP90Ms} ms`,
    slo.ttftP99Ms === null ? '' : `p99 <= ${slo.ttftP99Ms} ms`,
    slo.tpotP90Ms === null ? '' : `TPOT p90 <= ${slo.tpotP90Ms} ms`,
  ].filter(Boolean)
  const count = (endpoints: number) => `${endpoints} endpoints (${endpoints * gpusEach} GPUs)`
  const answer = smallest
    ? `${count(smallest.endpoints)}, each with ${smallest.dramGib} GiB of DRAM and ${smallest.nvmeGib} GiB of NVMe for KV`
    : 'the largest simulated fleet does not keep it: see the points, and lower --speed to size a part of the load'
  return [
    `Size for ${bounds.join(', ')}, in every seed`,
    `  isotherm: ${answer}`,
    ...(smallest
      ? [
          `  isotherm without DRAM and NVMe: ${withoutMemory ? count(withoutMemory.endpoints) : 'more than were tried'}`,
        ]
      : []),
    ...alternatives.map(({ name, endpoints }) => {
      if (endpoints === null) return `  ${name}: more than were tried`
      const spared = smallest ? 1 - smallest.endpoints / endpoints : 0
      return `  ${name}: ${count(endpoints)}${spared > 0 ? `, of which Isotherm spares ${percent(spared)}` : ''}`
    }),
    '  what was tried:',
    table(
      [
        'routing',
        'endpoints',
        'DRAM GiB',
        'NVMe GiB',
        'TTFT p90 ms',
        'p99',
        'TPOT p90 ms',
        'lost',
        'keeps it',
      ],
      points
        .toSorted(
          (a, b) =>
            rank(a.policy, points) - rank(b.policy, points) ||
            a.endpoints - b.endpoints ||
            a.dramGib - b.dramGib ||
            a.nvmeGib - b.nvmeGib,
        )
        .map((point) => [
          point.policy,
          String(point.endpoints),
          String(point.dramGib),
          String(point.nvmeGib),
          point.ttftP90Ms.toFixed(0),
          point.ttftP99Ms.toFixed(0),
          point.tpotP90Ms.toFixed(1),
          String(point.lost),
          point.meets ? 'yes' : 'no',
        ]),
    ),
  ]
}

/** Policies in the order in which they were tried. */
function rank(policy: string, points: SizeAnswer['points']): number {
  return points.findIndex((point) => point.policy === policy)
}

function ms({ mean, half }: Interval): string {
  return half === null ? mean.toFixed(0) : `${mean.toFixed(0)} ± ${half.toFixed(0)}`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all
    .map((row) => {
      const cells = row.map((cell, i) =>
        i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0),
      )
      return `  ${cells.join('  ')}`
    })
    .join('\n')
}
