/** Counts of this isolate since it began, for operators: what went well silently and should not for long. */

export const COUNTERS = [
  'requests',
  'lookupsTimedOut',
  'lookupsFailed',
  'ledgerFailures',
  'storeFailures',
  'requestsRefused',
  'reportsFailed',
  'notesLost',
  'failovers',
  'redirects',
  'hedges',
  'streamsBroken',
  'streamsStalled',
  'clientsLost',
  'responsesRetrieved',
  'responsesCancelled',
] as const
export type Counter = (typeof COUNTERS)[number]

export class Counters {
  readonly #counts = new Map<Counter, number>()

  count(counter: Counter): void {
    this.#counts.set(counter, (this.#counts.get(counter) ?? 0) + 1)
  }

  snapshot(): Record<Counter, number> {
    return Object.fromEntries(COUNTERS.map((name) => [name, this.#counts.get(name) ?? 0])) as Record<
      Counter,
      number
    >
  }
}
