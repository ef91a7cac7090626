/**
 * Figures that others have published of the same workloads: llm-d-kv-cache benchmarking/73-capacity and 37-capacity, llm-d's
 * posts on tiers and on pulling KV from peers. No constant of a scenario is fitted to them.
 */
import type { Metrics } from './metrics.ts'

export interface PublishedCell {
  readonly scenario: string
  readonly policy: string
  /** Null: over all stages. */
  readonly stage: string | null
  readonly what: 'tok/s' | 'TTFT p90 s' | 'TTFT mean s'
  readonly value: number
}

function cells(
  scenario: string,
  stage: string | null,
  what: PublishedCell['what'],
  values: Readonly<Record<string, number>>,
): PublishedCell[] {
  return Object.entries(values).map(([policy, value]) => ({ scenario, policy, stage, what, value }))
}

const B2B = 'b2b-73'
const C37 = 'capacity-37'

export const PUBLISHED: readonly PublishedCell[] = [
  ...cells(B2B, null, 'tok/s', {
    'llm-d-precise': 8730,
    'llm-d-estimated': 6944.4,
    'llm-d-load': 4266.4,
    random: 4428.7,
  }),
  ...cells(B2B, null, 'TTFT p90 s', {
    'llm-d-precise': 0.542,
    'llm-d-estimated': 31.083,
    'llm-d-load': 94.865,
    random: 92.551,
  }),
  ...cells(B2B, null, 'TTFT mean s', {
    'llm-d-precise': 0.298,
    'llm-d-estimated': 13.316,
    'llm-d-load': 46.987,
    random: 45.281,
  }),
  ...cells(B2B, '20/s', 'TTFT p90 s', {
    'llm-d-precise': 0.6,
    'llm-d-estimated': 0.6,
    random: 70.3,
    'llm-d-load': 77.7,
  }),
  ...cells(B2B, '40/s', 'TTFT p90 s', {
    'llm-d-precise': 0.488,
    'llm-d-estimated': 43,
    random: 101.3,
    'llm-d-load': 100.9,
  }),
  ...cells(B2B, '60/s', 'TTFT p90 s', {
    'llm-d-precise': 0.5,
    'llm-d-estimated': 50.2,
    random: 106,
    'llm-d-load': 110,
  }),
  ...cells(B2B, '60/s', 'tok/s', {
    'llm-d-precise': 10_497,
    'llm-d-estimated': 7248,
    random: 4835,
    'llm-d-load': 4745,
  }),
  ...cells(C37, null, 'tok/s', {
    'llm-d-precise': 5650,
    'llm-d-estimated': 5096,
    'llm-d-load': 3018,
    random: 2895,
  }),
  ...cells(C37, null, 'TTFT p90 s', {
    'llm-d-precise': 0.275,
    'llm-d-estimated': 7.536,
    'llm-d-load': 78.3,
    random: 84.6,
  }),
  ...cells(C37, '20/s', 'tok/s', { 'llm-d-precise': 9295, 'llm-d-estimated': 6748, random: 3099 }),
  ...cells(C37, '20/s', 'TTFT p90 s', { 'llm-d-precise': 0.29, 'llm-d-estimated': 43.6, random: 177 }),
]

/** A figure of one run over that of another, as publications that give no absolute ones tell it. */
export interface PublishedRatio {
  readonly scenario: string
  /** What the publication calls it. */
  readonly said: string
  readonly stage: string | null
  readonly of: Side
  readonly to: Side
  readonly figure: string
  readonly pick: (metrics: Metrics) => number
  readonly value: number
}

interface Side {
  readonly variant: string
  readonly policy: string
}

const rate = ({ outputTokensPerS }: Metrics) => outputTokensPerS
const p50 = ({ ttftMs }: Metrics) => ttftMs.p50
const p90 = ({ ttftMs }: Metrics) => ttftMs.p90
const gpuOnly: Side = { variant: 'GPU only', policy: 'llm-d-load' }

/** Of the posts on tiers it is not said which router a row has: the one without tiers is taken to go by load. */
export const PUBLISHED_RATIOS: readonly PublishedRatio[] = [
  {
    scenario: 'tiers',
    said: 'CPU offload against GPU only',
    stage: '40/s',
    of: { variant: 'DRAM', policy: 'llm-d-load' },
    to: gpuOnly,
    figure: 'tok/s',
    pick: rate,
    value: 1.75,
  },
  {
    scenario: 'tiers',
    said: 'tier-aware routing against GPU only',
    stage: '40/s',
    of: { variant: 'DRAM', policy: 'llm-d-precise' },
    to: gpuOnly,
    figure: 'tok/s',
    pick: rate,
    value: 2.15,
  },
  {
    scenario: 'fork',
    said: '43 subagents: pulls against affinity',
    stage: null,
    of: { variant: 'pulls', policy: 'isotherm' },
    to: { variant: 'no pulls', policy: 'llm-d-affinity' },
    figure: 'TTFT p90',
    pick: p90,
    value: 1.6 / 11.2,
  },
  ...(
    [
      ['4/s', 0.93 / 1.12],
      ['12/s', 2.1 / 12.2],
      ['16/s', 7.8 / 21.3],
    ] as const
  ).map(([load, value]) => ({
    scenario: 'peer-pull',
    said: `pulls against none at ${load}`,
    stage: null,
    of: { variant: `${load} pulls`, policy: 'isotherm' },
    to: { variant: load, policy: 'llm-d-load' },
    figure: 'TTFT p50',
    pick: p50,
    value,
  })),
]
