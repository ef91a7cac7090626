/** What was learnt of one endpoint: its laws, how far predictions were off, and what that means. */
import { tierByName } from '../../core/tiers.ts'
import type { TierCost } from '../../protocol/report.ts'
import type { Foreign } from '../routing/booking-ledger.ts'
import { ADAPTER_LOAD_MS_USUAL, type EndpointProfile } from '../routing/endpoint.ts'
import { diagnose, type Diagnosis } from './diagnosis.ts'
import { RatioWindow, type ErrorSummary } from './prediction-errors.ts'
import { RobustFit } from './robust-fit.ts'

/** Coefficients by law, as they outlive the process. */
export interface SavedLaws {
  readonly prefill?: readonly number[] | undefined
  readonly decode?: readonly number[] | undefined
  readonly transfer?: readonly number[] | undefined
  readonly tiers?: Readonly<Record<string, readonly number[]>> | undefined
  readonly adapter?: readonly number[] | undefined
}

export interface CostReport {
  readonly endpoint: string
  readonly configured: EndpointProfile
  readonly learnt: EndpointProfile
  /** Observations of each law that were taken, and that were impossible. */
  readonly observations: Readonly<Record<string, { readonly taken: number; readonly impossible: number }>>
  readonly ttft: ErrorSummary
  readonly metricsSamples: number
  readonly impossibleMetrics: number
  /** Of booked KV space, the share that the engine really pins. */
  readonly pinnedShare: number
  readonly foreign: Foreign
  readonly diagnoses: readonly Diagnosis[]
}

/** What stands in for coefficients that are configured as nothing: a law cannot be scaled from zero. */
const FIXED_MS_SEED = 5
const PAIR_MS_SEED = 5e-7
const SEQUENCE_MS_SEED = 0.05
const CONTEXT_MS_SEED = 1e-5
const FLOOR_MS_SEED = 1
/** Weight of one look in the share of space that is really pinned. */
const PINNED_WEIGHT = 0.2
const PINNED_SHARE_MIN = 0.1
/** Looks in a row with strange sequences before they are believed: requests come and go between two clocks. */
const FOREIGN_LOOKS = 3

export class EndpointCalibration {
  readonly configured: EndpointProfile
  readonly #prefill: RobustFit
  readonly #decode: RobustFit
  readonly #transfer: RobustFit
  readonly #tiers = new Map<string, RobustFit>()
  readonly #adapter: RobustFit
  readonly #ttft = new RatioWindow()
  readonly #foreign: Foreign[] = []
  #learnt: EndpointProfile
  #kvTokens: number
  pinnedShare = 1
  metricsSamples = 0
  impossibleMetrics = 0

  constructor(configured: EndpointProfile) {
    this.configured = configured
    this.#learnt = configured
    this.#kvTokens = configured.kvTokens
    const { prefill, decodeStepMs, decodeMsPerSequence, decodeMsPerContextToken, transfer } = configured
    this.#prefill = new RobustFit([
      prefill.fixedMs || FIXED_MS_SEED,
      prefill.msPerToken,
      prefill.msPerTokenPair || PAIR_MS_SEED,
    ])
    this.#decode = new RobustFit([
      decodeStepMs,
      decodeMsPerSequence || SEQUENCE_MS_SEED,
      (decodeMsPerContextToken ?? 0) || CONTEXT_MS_SEED,
    ])
    this.#transfer = tierFit(transfer)
    this.#adapter = new RobustFit([(configured.adapterLoadMs ?? ADAPTER_LOAD_MS_USUAL) || FLOOR_MS_SEED])
  }

  /** As learnt; what was not, as configured. */
  get profile(): EndpointProfile {
    return this.#learnt
  }

  get isLearnt(): boolean {
    return this.#prefill.isLearnt || this.#decode.isLearnt || this.#transfer.isLearnt
  }

  /** Sequences at the engine that are not ours, at the least of the latest looks. */
  get foreign(): Foreign {
    const least = (key: keyof Foreign) => Math.min(...this.#foreign.map((look) => look[key]))
    if (this.#foreign.length < FOREIGN_LOOKS) return { waiting: 0, decoding: 0 }
    return { waiting: least('waiting'), decoding: least('decoding') }
  }

  notePrefill(newTokens: number, cachedTokens: number, ms: number): void {
    const pairs = newTokens * cachedTokens + (newTokens * newTokens) / 2
    if (this.#prefill.add([1, newTokens, pairs], ms)) this.#refresh()
  }

  noteStep(sequences: number, contextTokens: number, ms: number): void {
    if (this.#decode.add([1, sequences, contextTokens], ms)) this.#refresh()
  }

  noteTransfer(bytes: number, ms: number): void {
    if (this.#transfer.add([1, bytes], ms)) this.#refresh()
  }

  noteLoad(tier: string, bytes: number, ms: number): void {
    if (this.#tierFit(tier)?.add([1, bytes], ms)) this.#refresh()
  }

  /** An adapter that was not loaded came into a slot. */
  noteAdapterLoad(ms: number): void {
    if (this.#adapter.add([1], ms)) this.#refresh()
  }

  /** KV space as the engine itself tells it. */
  noteCapacity(kvTokens: number): void {
    if (this.#kvTokens === kvTokens) return
    this.#kvTokens = kvTokens
    this.#refresh()
  }

  noteTtft(predictedMs: number, observedMs: number): void {
    this.#ttft.note(predictedMs, observedMs)
  }

  notePinned(usedTokens: number, bookedTokens: number): void {
    const share = usedTokens / bookedTokens
    if (!Number.isFinite(share)) return
    const bounded = Math.min(Math.max(share, PINNED_SHARE_MIN), 1)
    this.pinnedShare += (bounded - this.pinnedShare) * PINNED_WEIGHT
  }

  noteForeign({ waiting, decoding }: Foreign): void {
    this.#foreign.push({ waiting: Math.max(waiting, 0), decoding: Math.max(decoding, 0) })
    if (this.#foreign.length > FOREIGN_LOOKS) this.#foreign.shift()
  }

  save(): SavedLaws {
    const of = (fit: RobustFit) => (fit.isLearnt ? fit.coefficients : undefined)
    const tiers = [...this.#tiers].filter(([, fit]) => fit.isLearnt)
    return {
      prefill: of(this.#prefill),
      decode: of(this.#decode),
      transfer: of(this.#transfer),
      adapter: of(this.#adapter),
      tiers: Object.fromEntries(tiers.map(([name, fit]) => [name, fit.coefficients])),
    }
  }

  restore({ prefill, decode, transfer, adapter, tiers = {} }: SavedLaws): void {
    if (prefill) this.#prefill.restore(prefill)
    if (decode) this.#decode.restore(decode)
    if (transfer) this.#transfer.restore(transfer)
    if (adapter) this.#adapter.restore(adapter)
    for (const [name, coefficients] of Object.entries(tiers)) this.#tierFit(name)?.restore(coefficients)
    this.#refresh()
  }

  report(endpoint: string): CostReport {
    const fits = {
      prefill: this.#prefill,
      decode: this.#decode,
      transfer: this.#transfer,
      adapter: this.#adapter,
    }
    const named = [
      ...Object.entries(fits),
      ...[...this.#tiers].map(([n, fit]) => [`tier ${n}`, fit] as const),
    ]
    const ttft = this.#ttft.summary
    return {
      endpoint,
      configured: this.configured,
      learnt: this.#learnt,
      observations: Object.fromEntries(named.map(([name, { counts }]) => [name, { ...counts }])),
      ttft,
      metricsSamples: this.metricsSamples,
      impossibleMetrics: this.impossibleMetrics,
      pinnedShare: this.pinnedShare,
      foreign: this.foreign,
      diagnoses: diagnose({
        ttft,
        profileFactor: this.#prefill.isLearnt ? (this.#prefill.factors[1] ?? 1) : 1,
        impossibleSamples: this.impossibleMetrics,
        samples: this.metricsSamples,
        foreign: this.foreign.waiting + this.foreign.decoding,
      }),
    }
  }

  /** A tier that is free to read has no law to learn. */
  #tierFit(name: string): RobustFit | null {
    const known = this.#tiers.get(name)
    if (known) return known
    const cost = this.configured.tiers[name] ?? tierByName(name)?.cost
    if (!cost || !Number.isFinite(cost.bytesPerMs)) return null
    const fit = tierFit(cost)
    this.#tiers.set(name, fit)
    return fit
  }

  #refresh(): void {
    const { configured } = this
    const [fixedMs = 0, msPerToken = 0, msPerTokenPair = 0] = this.#prefill.coefficients
    const [stepMs = 0, msPerSequence = 0, msPerContextToken = 0] = this.#decode.coefficients
    const tiers = [...this.#tiers].filter(([, fit]) => fit.isLearnt)
    this.#learnt = {
      ...configured,
      kvTokens: this.#kvTokens,
      ...(this.#prefill.isLearnt ? { prefill: { fixedMs, msPerToken, msPerTokenPair } } : {}),
      ...(this.#decode.isLearnt
        ? {
            decodeStepMs: stepMs,
            decodeMsPerSequence: msPerSequence,
            decodeMsPerContextToken: msPerContextToken,
          }
        : {}),
      ...(this.#transfer.isLearnt ? { transfer: costOf(this.#transfer) } : {}),
      ...(this.#adapter.isLearnt ? { adapterLoadMs: this.#adapter.coefficients[0] } : {}),
      tiers: { ...configured.tiers, ...Object.fromEntries(tiers.map(([n, fit]) => [n, costOf(fit)])) },
    }
  }
}

function tierFit({ floorMs, bytesPerMs }: TierCost): RobustFit {
  return new RobustFit([floorMs || FLOOR_MS_SEED, 1 / bytesPerMs])
}

function costOf(fit: RobustFit): TierCost {
  const [floorMs = 0, msPerByte = 0] = fit.coefficients
  return { floorMs, bytesPerMs: 1 / msPerByte }
}
