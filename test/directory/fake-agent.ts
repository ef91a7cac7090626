/** An agent's side of a report stream, by hand: what it sends, and what it has been told. */
import type { LookupBatch, LookupRequest } from '../../protocol/lookup.ts'
import type { Outcome } from '../../protocol/outcome.ts'
import type { DirectoryMessage, ModelLoad, ModelOffer } from '../../protocol/report.ts'
import { encodeReportFrame, type FrameKind } from '../../protocol/report-frame.ts'

export const MODEL = 'test-model'

export const OFFER: ModelOffer = {
  model: MODEL,
  bytesPerToken: 4,
  kvBytesPerToken: 1000,
  contextTokensMax: 8192,
  prefill: { fixedMs: 10, msPerToken: 0.1, msPerTokenPair: 0 },
  tiers: {},
}

export const LOAD: ModelLoad = {
  model: MODEL,
  backlogMs: 0,
  kvPressure: 0,
  handoffMs: 0,
  endpoints: 2,
  bytesPerToken: 4,
}

export interface Change {
  readonly lo: number
  readonly hi: number
  readonly tier: number
}

export function hello(cluster: string, epoch: number, incarnation = 1): string {
  const models = [OFFER]
  return JSON.stringify({ type: 'hello', v: 1, epoch, cluster, region: 'us-east', incarnation, models })
}

export function heartbeat(
  epoch: number,
  seq: number,
  load: Partial<ModelLoad> = {},
  draining = false,
): string {
  return JSON.stringify({ type: 'heartbeat', v: 1, epoch, seq, loads: [{ ...LOAD, ...load }], draining })
}

export function outcome(fields: Partial<Outcome> = {}): Outcome {
  return {
    requestId: 'request-1',
    attempt: 1,
    tenant: 'demo',
    model: MODEL,
    edgeRegion: 'us-east',
    cluster: 'us-east-1',
    end: 'complete',
    status: 200,
    promptTokens: 100,
    cachedTokens: 64,
    outputTokens: 8,
    matchedTokens: 64,
    ttftMs: 20,
    predictedTtftMs: 18,
    durationMs: 90,
    prefillEndpoint: 'both-0',
    decodeEndpoint: 'both-0',
    endedMs: 1_700_000_000_000,
    ...fields,
  }
}

export function outcomes(epoch: number, batch: number, list: readonly Outcome[]): string {
  return JSON.stringify({ type: 'outcomes', v: 2, epoch, batch, outcomes: list })
}

export function quiesce(epoch: number): string {
  return JSON.stringify({ type: 'quiesce', v: 2, epoch })
}

export function frame(
  kind: FrameKind,
  epoch: number,
  seq: number,
  changes: readonly Change[] = [],
  { version = 2, ageMs = 0 } = {},
): Uint8Array {
  return encodeReportFrame(
    {
      kind,
      epoch,
      seq,
      count: changes.length,
      keysLo: Uint32Array.from(changes, ({ lo }) => lo),
      keysHi: Uint32Array.from(changes, ({ hi }) => hi),
      nibbles: Uint8Array.from(changes, ({ tier }) => tier),
      ageMs,
    },
    version,
  )
}

/** A lookup of one question and nothing else. */
export function ask(
  markers: Uint32Array,
  told: Partial<LookupBatch> = {},
): LookupBatch & { readonly questions: readonly LookupRequest[] } {
  return {
    isolate: 1,
    colo: 'IAD',
    questions: [{ model: MODEL, markers }],
    bookings: [],
    sightings: [],
    known: [],
    ...told,
  }
}

/** Markers, as a lookup asks for them, of the keys that the changes name. */
export function markersOf(changes: readonly Change[], stepBytes = 256): Uint32Array {
  return Uint32Array.from(changes.flatMap(({ lo, hi }, index) => [(index + 1) * stepBytes, lo, hi]))
}

export const CHANGES: readonly Change[] = [
  { lo: 0x11111111, hi: 0xa0000001, tier: 1 },
  { lo: 0x22222222, hi: 0xa0000002, tier: 1 },
  { lo: 0x33333333, hi: 0xa0000003, tier: 2 },
]

export type Said = DirectoryMessage
