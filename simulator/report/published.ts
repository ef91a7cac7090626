/**
 * Figures that others have published of the same workloads: llm-d-kv-cache benchmarking/73-capacity and 37-capacity. No
 * constant of a scenario is fitted to them.
 */

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
