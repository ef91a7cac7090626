/**
 * The whole receipt of a request: what the edge decided, noted in batches after the answer, and what came true, as the
 * agent reports it. Nothing of a prompt is in it. Kept by one object a region, which also counts.
 */
import type { ExplainedCandidate } from './explanation.ts'
import type { Outcome, OutcomeSink } from './outcome.ts'

/** The most notes of one batch. */
export const NOTES_MAX = 256
/** The most attempts that a record tells of. */
export const RECORD_ATTEMPTS_MAX = 16

/** The edge's part. */
export interface EdgeNote {
  readonly requestId: string
  readonly tenant: string
  readonly keyId: string
  readonly policyVersion: number
  /** `chat`, `completions`, ...: the API that was asked. */
  readonly api: string
  readonly model: string
  readonly stream: boolean
  readonly edgeRegion: string
  /** Milliseconds since the epoch on the edge's clock. */
  readonly startedMs: number
  readonly routing: string
  /** Why the plan's first cluster led; null when there was no plan. */
  readonly reason: string | null
  readonly knowledge: string
  readonly candidates: readonly ExplainedCandidate[]
  readonly rejected: readonly { readonly cluster: string; readonly reason: string }[]
  readonly attempts: readonly { readonly attempt: number; readonly cluster: string }[]
  /** Status of the answer, and when its headers went out, counted from `startedMs`. */
  readonly status: number
  readonly answeredMs: number
}

export interface ReceiptRecord {
  /** Place in the region's ring: readers go on after the last they have seen. */
  readonly seq: number
  /** null when the edge's batch was lost. */
  readonly edge: EdgeNote | null
  /** One for each attempt that an agent told of, by attempt. */
  readonly outcomes: readonly Outcome[]
  /** The request in the words of OpenTelemetry's GenAI conventions. */
  readonly attributes: Readonly<Record<string, string | number>>
}

export interface ReceiptPage {
  readonly records: readonly ReceiptRecord[]
  /** Where the next page begins. */
  readonly after: number
}

export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface MetricHistogram {
  readonly labels: Readonly<Record<string, string>>
  /** How many values were at most the bucket's bound, not cumulated; the last is for those beyond all. */
  readonly counts: readonly number[]
  readonly sum: number
}

export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly samples: readonly MetricSample[]
}

export interface HistogramFamily {
  readonly name: string
  readonly help: string
  readonly bounds: readonly number[]
  readonly histograms: readonly MetricHistogram[]
}

export interface MetricsSnapshot {
  readonly counters: readonly MetricFamily[]
  readonly histograms: readonly HistogramFamily[]
}

export interface NoteBatch {
  /** A JSON array of at most NOTES_MAX `EdgeNote`s. Text crosses to an object at a fraction of what the objects in it would cost. */
  readonly notes: string
  /** What the isolate's counters have grown by since its last batch. */
  readonly counters: Readonly<Record<string, number>>
}

/** One object a region. */
export interface ReceiptLogRpc extends OutcomeSink {
  /** Answers how long the isolate should collect before its next batch. */
  note(batch: NoteBatch): Promise<{ readonly flushMs: number }>
  /** null unless the tenant has such a request here. */
  find(tenant: string, requestId: string): Promise<ReceiptRecord | null>
  /** Records after `after`, oldest first; those that still await their outcome a moment are held back. */
  read(after: number, limit: number): Promise<ReceiptPage>
  metrics(): Promise<MetricsSnapshot>
}
