import { expect, test } from 'vitest'
import { OUTCOME_WAIT_MS, ReceiptRing, RECEIPTS_MAX } from '../../../tenancy/receipts/receipt-ring.ts'
import { outcome } from '../ledger-world.ts'
import { note } from './notes.ts'

const told = outcome('a', {
  promptTokens: 100,
  cachedTokens: 80,
  outputTokens: 5,
  matchedTokens: 96,
  attempt: 2,
})

test('the parts of a receipt meet in any order, each once', () => {
  const [noteFirst, outcomeFirst] = [new ReceiptRing(), new ReceiptRing()]
  expect(noteFirst.addNote(note('a'), 0)).toBe(true)
  expect(noteFirst.addOutcome(told, 1)).toBe(true)
  expect(outcomeFirst.addOutcome(told, 0)).toBe(true)
  expect(outcomeFirst.addNote(note('a'), 1)).toBe(true)
  expect(noteFirst.find('t', 'a')).toEqual(outcomeFirst.find('t', 'a'))
  expect(noteFirst.addNote(note('a', { status: 500 }), 2)).toBe(false)
  expect(noteFirst.addOutcome(told, 2)).toBe(false)
  expect(noteFirst.find('t', 'a')?.edge?.status).toBe(200)
  expect(noteFirst.size).toBe(1)
})

test('it speaks the words of the GenAI conventions, of the attempt that answered', () => {
  const ring = new ReceiptRing()
  ring.addNote(note('a'), 0)
  ring.addOutcome(told, 0)
  ring.addOutcome({ ...told, attempt: 1, end: 'failed', cluster: 'other', promptTokens: null }, 0)
  expect(ring.find('t', 'a')).toMatchObject({
    outcomes: [{ attempt: 1 }, { attempt: 2 }],
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'm',
      'gen_ai.usage.input_tokens': 100,
      'gen_ai.usage.cache_read.input_tokens': 80,
      'gen_ai.usage.output_tokens': 5,
      'http.response.status_code': 200,
      'isotherm.cluster': 'us-east-1',
      'isotherm.matched_tokens': 96,
      'isotherm.policy.version': 3,
    },
  })
  ring.addNote(note('b', { api: 'constructor' }), 0)
  expect(ring.find('t', 'b')?.attributes).not.toHaveProperty('gen_ai.operation.name')
})

test("a tenant finds its own only, and another's id is no key to it", () => {
  const ring = new ReceiptRing()
  ring.addNote(note('a'), 0)
  expect(ring.find('other', 'a')).toBeNull()
  ring.addNote(note('a', { tenant: 'other', status: 429 }), 0)
  expect([ring.find('t', 'a')?.edge?.status, ring.find('other', 'a')?.edge?.status]).toEqual([200, 429])
})

test('it is bounded, and readers go on where they were', () => {
  const ring = new ReceiptRing()
  for (let i = 0; i < RECEIPTS_MAX + 10; i++) ring.addNote(note(`r${i}`), 0)
  expect(ring.size).toBe(RECEIPTS_MAX)
  expect(ring.find('t', 'r9')).toBeNull()
  const page = ring.read(0, 100, OUTCOME_WAIT_MS)
  expect([page.records.length, page.records[0]?.edge?.requestId, page.after]).toEqual([100, 'r10', 110])
  expect(ring.read(page.after, 1, OUTCOME_WAIT_MS).records[0]?.edge?.requestId).toBe('r110')
})

test('a reader waits a moment for an outcome, and none for requests that reached no cluster', () => {
  const ring = new ReceiptRing()
  ring.addNote(note('refused', { attempts: [], status: 503 }), 0)
  ring.addNote(note('a'), 0)
  ring.addNote(note('b'), 0)
  ring.addOutcome(outcome('b'), 10)
  expect(ring.read(0, 10, 10)).toMatchObject({ records: [{ edge: { requestId: 'refused' } }], after: 1 })
  ring.addOutcome(told, 20)
  expect(ring.read(1, 10, 20).records).toHaveLength(2)
  ring.addNote(note('c'), 100)
  expect(ring.read(3, 10, 99 + OUTCOME_WAIT_MS)).toEqual({ records: [], after: 3 })
  expect(ring.read(3, 10, 100 + OUTCOME_WAIT_MS).records).toHaveLength(1)
})

test('a cancelled response has no outcome to wait for, and no model', () => {
  const ring = new ReceiptRing()
  ring.addNote(note('a', { api: 'responses/cancel', model: '', reason: 'kept' }), 0)
  const [record] = ring.read(0, 10, 1).records
  expect(record?.edge?.attempts).not.toEqual([])
  expect(record?.attributes).not.toHaveProperty('gen_ai.request.model')
})
