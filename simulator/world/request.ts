/** A request of a simulated run, and what became of it. */

export interface SimRequest {
  /** Its number in the run, by arrival. */
  readonly number: number
  /** From the start of its stage. */
  readonly arrivalMs: number
  /** Index of the stage; stage 0 and others may be warm-up. */
  readonly stage: number
  /** false: warm-up, which is played and not reported. */
  readonly isCounted: boolean
  /** Index of the region where the caller is. */
  readonly region: number
  /** The conversation. */
  readonly session: number
  readonly tenant: number
  /** Adapter number, or -1 for the base model. */
  readonly adapter: number
  readonly promptTokens: number
  readonly outputTokens: number
  /** Numbers of the full blocks of the prompt and, where later prompts hold the answer too, of both. */
  readonly blocks: Int32Array
  /** Message ends that other prompts share, in whole blocks, rising: where production has markers beside its octaves. */
  readonly ends: readonly number[]
  /** What a report may group by: `first` turns, `return` after quiet and so on. */
  readonly label: string
}

/** Milliseconds of a TTFT by cause; they add up to it. */
export interface TtftSplit {
  readonly rttMs: number
  readonly queueMs: number
  readonly loadMs: number
  readonly prefillMs: number
  readonly handoffMs: number
}

/** Blocks of a prompt that lay on an engine, on any tier, at the instant at which the request was placed. */
export interface Warmth {
  /** On the engine that was chosen. */
  readonly heldBlocks: number
  /** On the engine of the world that held most. */
  readonly longestBlocks: number
}

export interface Outcome {
  readonly request: SimRequest
  /** When the caller sent it, on the run's clock. */
  readonly sentMs: number
  /** `served`; `broken` after its first token; `lost` before it. */
  readonly state: 'served' | 'broken' | 'lost'
  readonly cluster: number
  readonly endpoint: number
  readonly ttftMs: number
  readonly endToEndMs: number
  /** Between tokens, on average. */
  readonly tpotMs: number
  readonly split: TtftSplit
  /** What the policy predicted for the TTFT, or null. */
  readonly predictedMs: number | null
  readonly gpuTokens: number
  readonly lowerTokens: number
  readonly warmth: Warmth
  /** Extra way to the cluster by a central proxy, one way. */
  readonly detourMs: number
  readonly attempts: number
  readonly preemptions: number
}
