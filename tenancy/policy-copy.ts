/**
 * The copy of a shard of the policy store that answers the isolates of one region. It remembers what it was asked for a
 * moment, so the store hears from each region and not from each isolate. In memory only: what it forgets it asks again.
 */
import { DurableObject } from 'cloudflare:workers'
import {
  QUESTIONS_MAX,
  type KeyAnswer,
  type KeyQuestion,
  type KeyResolver,
  type Resolution,
} from '../protocol/policy-store.ts'

/** How old an answer may be; an isolate's own bound comes on top. */
export const COPY_MS_MAX = 2000
const ANSWERS_MAX = 8192

interface CopyBindings {
  readonly POLICY_STORE: DurableObjectNamespace
}

interface Held {
  readonly answer: KeyAnswer
  /** When the store was asked: what it said can have changed since. */
  readonly askedMs: number
  readonly revision: number
}

export class PolicyCopy extends DurableObject<CopyBindings> implements KeyResolver {
  /** Replaced by tests. */
  nowMs: () => number = () => Date.now()
  readonly #held = new Map<string, Held>()

  /** Rejects when the store does. */
  async resolve(questions: readonly KeyQuestion[], revision: number): Promise<Resolution> {
    const bounded = questions.slice(0, QUESTIONS_MAX)
    const nowMs = this.nowMs()
    const isFresh = (held: Held | undefined) =>
      held !== undefined && nowMs - held.askedMs < COPY_MS_MAX && held.revision >= revision
    const due = bounded.filter(({ digest }) => !isFresh(this.#held.get(digest)))
    if (due.length > 0) await this.#ask(due, nowMs)
    const held = bounded.map(({ digest }) => this.#held.get(digest))
    return {
      // The least: nobody may take a mixture for newer than its oldest part.
      revision: Math.min(...held.map((entry) => entry?.revision ?? 0)),
      answers: held.map((entry, index) => answerTo(bounded[index], entry)),
    }
  }

  async #ask(due: readonly KeyQuestion[], nowMs: number): Promise<void> {
    const { POLICY_STORE } = this.env
    // The name of a copy is that of its shard, `@` and its region.
    const [shard = ''] = (this.ctx.id.name ?? '').split('@')
    const stub: unknown = POLICY_STORE.get(POLICY_STORE.idFromName(shard))
    const before = due.map(({ digest }) => this.#held.get(digest)?.answer)
    const asked = due.map(({ digest }, index) => ({ digest, revision: revisionOf(before[index]) }))
    const { revision, answers } = await (stub as KeyResolver).resolve(asked, 0)
    for (const [index, { digest }] of due.entries()) {
      // Answers may cross: the one that was asked for later counts.
      if ((this.#held.get(digest)?.askedMs ?? 0) > nowMs) continue
      const given = answers[index] ?? { kind: 'unknown' }
      const answer = given.kind === 'same' ? (before[index] ?? { kind: 'unknown' as const }) : given
      this.#held.delete(digest)
      this.#held.set(digest, { answer, askedMs: nowMs, revision })
    }
    for (const digest of this.#held.keys()) {
      if (this.#held.size <= ANSWERS_MAX) return
      this.#held.delete(digest)
    }
  }
}

function revisionOf(answer: KeyAnswer | undefined): number | null {
  return answer?.kind === 'tenant' ? answer.revision : null
}

function answerTo(question: KeyQuestion | undefined, held: Held | undefined): KeyAnswer {
  if (!held) return { kind: 'unknown' }
  const { answer } = held
  return answer.kind === 'tenant' && answer.revision === question?.revision ? { kind: 'same' } : answer
}
