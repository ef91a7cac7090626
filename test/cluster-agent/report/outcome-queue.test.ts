import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  OUTCOME_RETRY_MS,
  OutcomeQueue,
  OUTCOMES_RESEND_MS,
} from '../../../cluster-agent/report/outcome-queue.ts'
import { OUTCOMES_MAX, type Outcome } from '../../../protocol/outcome.ts'

function outcome(requestId: string): Outcome {
  return {
    requestId,
    attempt: 1,
    tenant: 'demo',
    model: 'm',
    edgeRegion: 'us-east',
    cluster: 'c',
    end: 'complete',
    status: 200,
    promptTokens: null,
    cachedTokens: null,
    outputTokens: null,
    matchedTokens: 0,
    ttftMs: null,
    predictedTtftMs: null,
    durationMs: 1,
    prefillEndpoint: null,
    decodeEndpoint: null,
    endedMs: 0,
  }
}

const ids = (outcomes: readonly Outcome[] | undefined) => outcomes?.map(({ requestId }) => requestId)

test('one batch in flight; without an answer the same one goes out again', () => {
  const queue = new OutcomeQueue()
  queue.note(outcome('a'))
  const first = queue.due(0)
  expect(first).toMatchObject({ batch: 1, outcomes: [{ requestId: 'a' }] })
  queue.note(outcome('b'))
  expect(queue.due(OUTCOMES_RESEND_MS - 1)).toBeNull()
  expect(queue.due(OUTCOMES_RESEND_MS)).toEqual(first)
  queue.reconnect()
  expect(queue.due(OUTCOMES_RESEND_MS + 1)).toEqual(first)
  queue.acknowledge(1, [], 6000)
  queue.acknowledge(1, [], 6000)
  expect(ids(queue.due(6000)?.outcomes)).toEqual(['b'])
})

test('what no ledger took comes again later and keeps nobody waiting', () => {
  const queue = new OutcomeQueue()
  for (const id of ['a', 'b', 'c']) queue.note(outcome(id))
  queue.due(0)
  queue.acknowledge(1, [1, 1, 99], 0)
  queue.note(outcome('d'))
  expect(ids(queue.due(1)?.outcomes)).toEqual(['d'])
  queue.acknowledge(2, [], 2)
  expect(queue.due(OUTCOME_RETRY_MS - 1)).toBeNull()
  expect(ids(queue.due(OUTCOME_RETRY_MS)?.outcomes)).toEqual(['b'])
  // The wait doubles.
  queue.acknowledge(3, [0], OUTCOME_RETRY_MS)
  expect(queue.due(2 * OUTCOME_RETRY_MS)).toBeNull()
  expect(ids(queue.due(3 * OUTCOME_RETRY_MS)?.outcomes)).toEqual(['b'])
})

test('it is bounded, and says what it dropped', () => {
  const queue = new OutcomeQueue(10)
  for (let i = 0; i < 25; i++) queue.note(outcome(`${i}`))
  expect(queue.pending).toBe(10)
  expect(queue.dropped).toBe(15)
  expect(ids(queue.due(0)?.outcomes)?.[0]).toBe('15')
})

test('under lost, repeated and partial answers every outcome arrives at least once', () => {
  const answer = fc.constantFrom('lost', 'taken', 'partial', 'twice', 'reconnect')
  fc.assert(
    fc.property(
      fc.array(answer, { maxLength: 40, size: 'max' }),
      fc.integer({ min: 1, max: 600 }),
      (answers, count) => {
        const queue = new OutcomeQueue()
        for (let i = 0; i < count; i++) queue.note(outcome(`${i}`))
        const taken = new Set<string>()
        let nowMs = 0
        for (const kind of [...answers, ...Array<'taken'>(count).fill('taken')]) {
          nowMs += OUTCOMES_RESEND_MS
          const due = queue.due(nowMs)
          if (due === null) continue
          expect(due.outcomes.length).toBeLessThanOrEqual(OUTCOMES_MAX)
          if (kind === 'reconnect') queue.reconnect()
          if (kind === 'lost' || kind === 'reconnect') continue
          const untaken = kind === 'partial' ? [0] : []
          for (const { requestId } of due.outcomes.slice(untaken.length)) taken.add(requestId)
          queue.acknowledge(due.batch, untaken, nowMs)
          if (kind === 'twice') queue.acknowledge(due.batch, [], nowMs)
        }
        for (nowMs += 100_000; queue.pending > 0; nowMs += OUTCOMES_RESEND_MS) {
          const due = queue.due(nowMs)
          if (due === null) continue
          for (const { requestId } of due.outcomes) taken.add(requestId)
          queue.acknowledge(due.batch, [], nowMs)
        }
        expect(taken.size).toBe(count)
      },
    ),
    { numRuns: 50 },
  )
})
