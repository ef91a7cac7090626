/** What came true of a request, told to whoever observes: the reporter, for the edges' ledgers, and metrics. */
import type { Outcome } from '../protocol/outcome.ts'
import type { OutcomeLog } from './reporter.ts'

/** `edgeRegion` null: it came without an edge, so that no ledger hears of it. */
export type FinishedRequest = Omit<Outcome, 'edgeRegion'> & { readonly edgeRegion: string | null }

export interface RequestObserver {
  /** Never throws, never blocks. */
  noteFinished(request: FinishedRequest): void
}

/** Passes on what has an edge to hear of it. */
export function observerOf(log: OutcomeLog): RequestObserver {
  return {
    noteFinished(request) {
      const { edgeRegion } = request
      if (edgeRegion !== null) log.note({ ...request, edgeRegion })
    },
  }
}
