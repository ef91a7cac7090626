/** What came true of a request, told to whoever observes: the reporter, for the edges' ledgers, and metrics. */
import type { Outcome } from '../protocol/outcome.ts'
import type { OutcomeLog } from './reporter.ts'

/** `edgeRegion` null: it came without an edge, so that no ledger hears of it. */
export interface FinishedRequest extends Omit<Outcome, 'edgeRegion'> {
  readonly edgeRegion: string | null
  /** Whether what it would find cached could be known when it was chosen: by events, and with nobody before it. */
  readonly isForeseeable: boolean
  /** Tokens of the prompt that had been learnt by then: of what lies behind them no event could tell. */
  readonly knownTokens: number
}

export interface RequestObserver {
  /** Never throws, never blocks. */
  noteFinished(request: FinishedRequest): void
}

/** Passes on what has an edge to hear of it. */
export function observerOf(log: OutcomeLog): RequestObserver {
  return {
    noteFinished(request) {
      const { edgeRegion, isForeseeable: _, knownTokens: __, ...outcome } = request
      if (edgeRegion !== null) log.note({ ...outcome, edgeRegion })
    },
  }
}
