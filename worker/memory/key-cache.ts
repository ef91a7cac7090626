/**
 * What this isolate knows of API keys, by digest, and how far it may believe it. Ages count from the moment of asking, so a
 * revocation works everywhere within KEY_MS_MAX, the age of the copy that was asked, and the time that asking takes.
 */
import {
  QUESTIONS_MAX,
  type KeyAnswer,
  type KeyQuestion,
  type Resolution,
} from '../../protocol/policy-store.ts'

/** Older than this: used, and asked for again beside it. */
export const KEY_FRESH_MS = 3000
/** Older than this: not used before the store has been asked. */
export const KEY_MS_MAX = 6000
/** What tenants who want it live on while the store does not answer. */
export const OUTAGE_MS_MAX = 300_000
/** Keys of one isolate; of more, those that were quiet longest are forgotten. */
const KEYS_HELD_MAX = 4096
/** Invented keys cost the store a question each: beyond this many a second, keys that are new here wait. */
const UNKNOWN_PER_SECOND_MAX = 50

export type KnownKey = Exclude<KeyAnswer, { kind: 'same' }>

interface Held {
  readonly shard: number
  readonly known: KnownKey
  readonly askedMs: number
  /** The shard's revision as of the answer. */
  readonly revision: number
}

export type Freshness = 'fresh' | 'due' | 'stale'

export class KeyCache {
  /** Least recently used first. */
  readonly #held = new Map<string, Held>()
  #unknown = 0
  #unknownSinceMs = 0

  isFlooded(nowMs: number): boolean {
    return nowMs - this.#unknownSinceMs < 1000 && this.#unknown >= UNKNOWN_PER_SECOND_MAX
  }

  /** `newest`: the shard's newest revision that this isolate has heard of. */
  read(
    digest: string,
    newest: number,
    nowMs: number,
  ): { known: KnownKey; freshness: Freshness; ageMs: number } | null {
    const held = this.#held.get(digest)
    if (!held) return null
    this.#held.delete(digest)
    this.#held.set(digest, held)
    const ageMs = nowMs - held.askedMs
    return { known: held.known, freshness: freshnessOf(held, newest, ageMs), ageMs }
  }

  /** The key that is asked for, and others of its shard that will be soon: an isolate asks a shard once for many. */
  questions(digest: string, shard: number, newest: number, nowMs: number): KeyQuestion[] {
    const due = [...this.#held].filter(
      ([other, held]) =>
        other !== digest &&
        held.shard === shard &&
        freshnessOf(held, newest, nowMs - held.askedMs) !== 'fresh',
    )
    return [digest, ...due.slice(-(QUESTIONS_MAX - 1)).map(([other]) => other)].map((asked) => {
      const known = this.#held.get(asked)?.known
      return { digest: asked, revision: known?.kind === 'tenant' ? known.revision : null }
    })
  }

  learn(shard: number, questions: readonly KeyQuestion[], resolution: Resolution, askedMs: number): void {
    for (const [index, { digest, revision }] of questions.entries()) {
      const answer = resolution.answers[index]
      const before = this.#held.get(digest)
      if (!answer || (before && before.askedMs > askedMs)) continue
      const known = answer.kind === 'same' ? before?.known : answer
      // "The same" as something that has been forgotten or replaced meanwhile says nothing.
      if (!known || (answer.kind === 'same' && (known.kind !== 'tenant' || known.revision !== revision)))
        continue
      this.#held.delete(digest)
      this.#held.set(digest, { shard, known, askedMs, revision: resolution.revision })
      if (known.kind === 'unknown' && !before) this.#countUnknown(askedMs)
    }
    for (const digest of this.#held.keys()) {
      if (this.#held.size <= KEYS_HELD_MAX) return
      this.#held.delete(digest)
    }
  }

  #countUnknown(nowMs: number): void {
    if (nowMs - this.#unknownSinceMs >= 1000) {
      this.#unknownSinceMs = nowMs
      this.#unknown = 0
    }
    this.#unknown++
  }
}

function freshnessOf(held: Held, newest: number, ageMs: number): Freshness {
  if (ageMs >= KEY_MS_MAX || held.revision < newest) return 'stale'
  return ageMs >= KEY_FRESH_MS ? 'due' : 'fresh'
}
