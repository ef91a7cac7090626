import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { expect, test, vi } from 'vitest'
import {
  NOTES_MAX,
  type EdgeNote,
  type MetricsSnapshot,
  type ReceiptLogRpc,
} from '../../protocol/receipt-record.ts'
import type { ReceiptLog } from '../../tenancy/receipt-log.ts'
import { RECEIPTS_MAX } from '../../tenancy/receipts/receipt-ring.ts'
import { outcome } from './ledger-world.ts'
import { note } from './receipts/notes.ts'

vi.setConfig({ testTimeout: 30_000 })

function logOf(region: string) {
  return env.RECEIPT_LOG.get(env.RECEIPT_LOG.idFromName(region)) as unknown as DurableObjectStub<ReceiptLog> &
    ReceiptLogRpc
}

function textOf(...notes: EdgeNote[]): string {
  return JSON.stringify(notes)
}

function counter({ counters }: MetricsSnapshot, name: string): Record<string, number> {
  const samples = counters.find((family) => family.name === name)?.samples ?? []
  return Object.fromEntries(samples.map(({ labels, value }) => [Object.values(labels).join(' '), value]))
}

const told = outcome('a', {
  promptTokens: 100,
  cachedTokens: 80,
  outputTokens: 5,
  ttftMs: 60,
  predictedTtftMs: 50,
})

test('an eviction forgets no receipt, no count and no place of a reader', async () => {
  const log = logOf('evicted')
  await log.note({
    notes: textOf(note('a'), note('b', { attempts: [], status: 429, reason: null })),
    counters: { failovers: 2 },
  })
  await log.takeOutcomes([told, told])
  const before = {
    found: await log.find('t', 'a'),
    page: await log.read(0, 10),
    metrics: await log.metrics(),
  }
  expect(before.page).toMatchObject({ after: 2, records: [{ seq: 1 }, { seq: 2 }] })
  await evictDurableObject(log)
  expect({
    found: await log.find('t', 'a'),
    page: await log.read(0, 10),
    metrics: await log.metrics(),
  }).toEqual(before)
  // Told again after the eviction: counted once all the same.
  await log.note({ notes: textOf(note('a')), counters: {} })
  await log.takeOutcomes([told])
  expect(await log.metrics()).toEqual(before.metrics)
  await log.note({ notes: textOf(note('c')), counters: {} })
  expect((await log.find('t', 'c'))?.seq).toBe(3)
})

test('of a batch that is told again in part only what is new is kept, and no more than a batch may hold', async () => {
  const log = logOf('in-part')
  // Without attempts no reader waits for their outcomes.
  const noteOf = (requestId: string, status = 429) => note(requestId, { attempts: [], status })
  await log.note({ notes: textOf(noteOf('a')), counters: {} })
  await log.note({ notes: textOf(noteOf('a', 500), noteOf('b')), counters: {} })
  const many = Array.from({ length: NOTES_MAX + 1 }, (_, i) => noteOf(`m${i}`))
  await log.note({ notes: textOf(...many), counters: {} })
  const before = await log.read(0, 1000)
  expect(before.records.map(({ edge }) => [edge?.requestId, edge?.status])).toEqual(
    ['a', 'b', ...many.slice(0, NOTES_MAX).map(({ requestId }) => requestId)].map((id) => [id, 429]),
  )
  await evictDurableObject(log)
  expect(await log.read(0, 1000)).toEqual(before)
})

test('it counts for Prometheus', async () => {
  const log = logOf('counted')
  const twice = [
    { attempt: 1, cluster: 'x' },
    { attempt: 2, cluster: 'y' },
  ]
  await log.note({
    notes: textOf(note('a', { attempts: twice })),
    counters: { lookupsTimedOut: 3, odd: Number.NaN },
  })
  await log.takeOutcomes([told])
  const metrics = await log.metrics()
  expect(counter(metrics, 'isotherm_requests_total')).toEqual({ '200 warm': 1 })
  expect(counter(metrics, 'isotherm_failovers_total')).toEqual({ y: 1 })
  expect(counter(metrics, 'isotherm_edge_events_total')).toEqual({ lookupsTimedOut: 3 })
  expect(counter(metrics, 'isotherm_tokens_total')).toEqual({
    'us-east-1 m uncached': 20,
    'us-east-1 m cached': 80,
    'us-east-1 m output': 5,
  })
  const [ttft, error] = metrics.histograms
  expect(ttft?.histograms).toMatchObject([{ counts: [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], sum: 60 }])
  expect(error?.histograms).toMatchObject([{ sum: 1.2 }])
})

test('series are bounded whatever names come', async () => {
  const log = logOf('flooded')
  for (let batch = 0; batch < 3; batch++) {
    await log.takeOutcomes(
      Array.from({ length: 200 }, (_, i) =>
        outcome(`r${batch}-${i}`, { model: `m${batch}-${i}`, ttftMs: null }),
      ),
    )
  }
  const outcomes = counter(await log.metrics(), 'isotherm_outcomes_total')
  expect(Object.keys(outcomes).length).toBeLessThanOrEqual(257)
  expect(outcomes['other other other']).toBe(600 - 256)
})

test('what it stores is bounded', async () => {
  const log = logOf('stored')
  for (let batch = 0; batch < (3 * RECEIPTS_MAX) / 250; batch++) {
    const notes = textOf(...Array.from({ length: 250 }, (_, i) => note(`r${batch}-${i}`)))
    await log.note({ notes, counters: {} })
  }
  const stored = await runInDurableObject(log, (_, state) =>
    [...state.storage.sql.exec<{ entries: number }>('SELECT SUM(entries) AS entries FROM batches')].map(
      (row) => row.entries,
    ),
  )
  expect(stored[0]).toBeLessThanOrEqual(2 * RECEIPTS_MAX)
})

test('a ledger passes outcomes on to the region of the edge that asked', async () => {
  const ledger = env.TENANT_LEDGER.get(env.TENANT_LEDGER.idFromName('t')) as unknown as {
    takeOutcomes(outcomes: unknown[]): Promise<void>
  }
  await ledger.takeOutcomes([{ ...told, edgeRegion: 'passed-on', endedMs: Date.now() }])
  const found = await vi.waitUntil(() => logOf('passed-on').find('t', 'a'), { timeout: 20_000 })
  expect(found?.outcomes).toHaveLength(1)
})
