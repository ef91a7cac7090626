/**
 * What was predicted of each endpoint against what its engine reported: cached tokens and the time to the first token.
 * A window of the last requests says how it is now, sums say how it was.
 */

/** The last requests of an endpoint that are looked at. */
export const WINDOW = 64

export interface Observation {
  /** Tokens that the agent expected to be cached, and that the engine reported; null: it reported none. */
  readonly matchedTokens: number
  readonly cachedTokens: number | null
  /** Tokens of the prompt that had been learnt: only what was found of them could have been predicted. */
  readonly knownTokens: number
  /** Whether events of the engine were missing then. */
  readonly mayMissEvents: boolean
  readonly predictedTtftMs: number | null
  readonly ttftMs: number | null
}

export interface PredictionSummary {
  /** Requests in all. */
  readonly requests: number
  /** Of those in the window: with a report of cached tokens, and where it was as predicted within the tolerance. */
  readonly reported: number
  readonly exact: number
  /** More was predicted than found; less. */
  readonly over: number
  readonly under: number
  /** Of those under: as much was found of what had been learnt; and while events were missing. */
  readonly lost: number
  readonly lostWhileMissing: number
  /** In the window: predictions above zero, and of those reports of zero. */
  readonly expected: number
  readonly expectedFoundNone: number
  /** In the window: predictions above zero without any report. */
  readonly expectedUnreported: number
  /** Predicted less reported tokens, on average. */
  readonly biasTokens: number
  /** Median of measured / predicted time to the first token; null without any. */
  readonly ttftRatio: number | null
}

interface Judged {
  readonly errorTokens: number | null
  /** Of the error, what is not explained by a prompt that was learnt too late. */
  readonly lostTokens: number
  readonly mayMissEvents: boolean
  readonly wasExpected: boolean
  readonly foundNone: boolean
  readonly ttftRatio: number | null
}

export class Predictions {
  readonly #window: Judged[] = []
  #requests = 0

  note(seen: Observation): void {
    const { matchedTokens, cachedTokens, knownTokens, mayMissEvents, predictedTtftMs, ttftMs } = seen
    this.#requests++
    this.#window.push({
      errorTokens: cachedTokens === null ? null : matchedTokens - cachedTokens,
      lostTokens: Math.min(cachedTokens ?? 0, knownTokens) - matchedTokens,
      mayMissEvents,
      wasExpected: matchedTokens > 0,
      foundNone: cachedTokens === 0,
      ttftRatio: predictedTtftMs && ttftMs !== null ? ttftMs / predictedTtftMs : null,
    })
    if (this.#window.length > WINDOW) this.#window.shift()
  }

  /** Begins a new window: what was observed before is explained. */
  forget(): void {
    this.#window.length = 0
  }

  /** `toleranceTokens`: a prediction that is off by less is exact: engines count whole blocks, and never the last token. */
  summary(toleranceTokens: number): PredictionSummary {
    const seen = { reported: 0, exact: 0, over: 0, under: 0, lost: 0, lostWhileMissing: 0 }
    const hopes = { expected: 0, expectedFoundNone: 0, expectedUnreported: 0 }
    let errorTokens = 0
    for (const one of this.#window) {
      const error = one.errorTokens
      if (error === null) {
        if (one.wasExpected) hopes.expectedUnreported++
        continue
      }
      seen.reported++
      errorTokens += error
      if (error >= toleranceTokens) seen.over++
      else if (error <= -toleranceTokens) seen.under++
      else seen.exact++
      if (one.lostTokens >= toleranceTokens) seen.lost++
      if (one.lostTokens >= toleranceTokens && one.mayMissEvents) seen.lostWhileMissing++
      if (one.wasExpected) hopes.expected++
      if (one.wasExpected && one.foundNone) hopes.expectedFoundNone++
    }
    const biasTokens = seen.reported === 0 ? 0 : errorTokens / seen.reported
    return { requests: this.#requests, ...seen, ...hopes, biasTokens, ttftRatio: this.#ttftRatio() }
  }

  #ttftRatio(): number | null {
    const ratios = this.#window.flatMap(({ ttftRatio }) => (ttftRatio === null ? [] : [ttftRatio]))
    return Float64Array.from(ratios).sort()[Math.floor(ratios.length / 2)] ?? null
  }
}
