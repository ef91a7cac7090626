/**
 * The engine beside published measurements of single requests: recomputing a prefix against pulling it from a peer. Two
 * cells of each column set the constants of the profile (marked); the others test the law.
 */
import type { BlockRequest, BlockSequence } from '../engine/block-sequence.ts'
import { makeProfile } from '../scenario/profiles.ts'
import { Clock } from '../world/clock.ts'
import { EngineResidency, ResidencyLog } from '../world/residency.ts'
import { VirtualEngine } from '../world/virtual-engine.ts'
import type { Table } from './table-data.ts'

const BLOCK_TOKENS = 64

/** llm-d's P2P post (gpt-oss-120b on H200): tokens, recompute ms, pull ms. */
const PUBLISHED_PULLS: readonly (readonly [number, number, number])[] = [
  [2048, 78, 35],
  [8192, 250, 57],
  [16_384, 510, 86],
  [32_768, 1173, 165],
  [49_152, 1988, 235],
]
const FITTED_RECOMPUTE: readonly number[] = [8192, 32_768]
const FITTED_PULL: readonly number[] = [2048, 32_768]

export function engineLawTable(): Table {
  const rows = PUBLISHED_PULLS.map(([tokens, recompute, pull]) => {
    const computedMs = firstTokenMs(tokens, false)
    const pulledMs = firstTokenMs(tokens, true)
    return [
      String(tokens),
      String(recompute),
      cell(computedMs, recompute, FITTED_RECOMPUTE.includes(tokens)),
      String(pull),
      cell(pulledMs, pull, FITTED_PULL.includes(tokens)),
    ]
  })
  return {
    title: 'gpt-oss-120b on H200: recompute and pull',
    head: ['prefix tokens', 'recompute ms, published', 'simulated', 'pull ms, published', 'simulated'],
    rows,
    note: 'In brackets simulated/published; * marks the cells that set the constants.',
  }
}

function cell(simulatedMs: number, published: number, isFitted: boolean): string {
  return `${simulatedMs.toFixed(0)} (${(simulatedMs / published).toFixed(2)})${isFitted ? ' *' : ''}`
}

/** The first token of one request on an idle engine, its prefix computed or pulled from a peer. */
function firstTokenMs(tokens: number, isPulled: boolean): number {
  const clock = new Clock()
  const log = new EngineResidency(new ResidencyLog(), 0, () => clock.nowMs)
  let firstMs = 0
  const engine = new VirtualEngine(
    makeProfile('gpt-oss-120b-h200', BLOCK_TOKENS, { batchTokensMax: 8192 }),
    clock,
    log,
    {
      onFirstToken: (sequence: BlockSequence) => {
        firstMs = sequence.firstTokenMs
      },
      onFinish: () => {},
      onPulled: () => {},
    },
  )
  const request: BlockRequest = {
    id: 'one',
    number: 0,
    promptTokens: tokens,
    blocks: new Int32Array(0),
    maxTokens: 1,
    seed: 0,
    sessionId: null,
    isReportFull: false,
    isProducer: false,
    remote: isPulled ? { cachedTokens: tokens } : null,
  }
  engine.submit(request, 0, 0)
  clock.run(() => false)
  return firstMs
}
