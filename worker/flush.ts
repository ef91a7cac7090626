/**
 * Sends what an isolate has to tell ledgers and receipts, in batches and off the request path: a request that has ended
 * waits a moment and then sends for all that ended meanwhile.
 */
import { shardOf } from '../core/api-key.ts'
import type { Edge } from './env.ts'
import { termsOf } from './reservation.ts'
import { settledWithin } from './settled-within.ts'

/** Until a region asks for another pace. */
export const FLUSH_MS = 1000
const SEND_MS_MAX = 3000

/** Never rejects. */
export async function flushLater(edge: Edge): Promise<void> {
  const waitMs = edge.notes.flushMs
  if (!edge.notes.beginFlush(Date.now(), waitMs + 2 * SEND_MS_MAX)) return
  await new Promise((resolve) => setTimeout(resolve, waitMs))
  edge.notes.endFlush()
  await flush(edge)
}

/** Never rejects. What does not arrive is told again to ledgers, and lost to receipts. */
export async function flush(edge: Edge): Promise<void> {
  await Promise.all([reportToLedgers(edge), sendNotes(edge), sendShadows(edge)])
}

async function reportToLedgers(edge: Edge): Promise<void> {
  const reports = edge.accounts.news().map(async ({ tenant, limits, policy, told }) => {
    const report = limits.takeReport(termsOf(policy), false, Date.now())
    const reporting = edge.ledgerOf(tenant).report(report)
    const hasArrived = await settledWithin(reporting, SEND_MS_MAX)
    if (hasArrived && (await reporting.then(() => true).catch(() => false))) return told()
    limits.putBack(report)
    edge.counters.count('reportsFailed')
  })
  await Promise.allSettled(reports)
}

async function sendNotes(edge: Edge): Promise<void> {
  const counters = edge.notes.growth(edge.counters.snapshot())
  const batches = edge.notes.take()
  if (batches.length === 0 && Object.keys(counters).length === 0) return
  const [first = { region: edge.config.homeRegion, notes: '[]' }, ...others] = batches
  const sending = [{ ...first, counters }, ...others.map((batch) => ({ ...batch, counters: {} }))].map(
    async ({ region, notes, counters }) => {
      const noting = edge.receiptsOf(region)?.note({ notes, counters })
      if (!noting) return
      const answer = (await settledWithin(noting, SEND_MS_MAX)) ? await noting.catch(() => null) : null
      if (answer) edge.notes.flushMs = answer.flushMs
      else edge.counters.count('notesLost')
    },
  )
  await Promise.allSettled(sending)
}

async function sendShadows(edge: Edge): Promise<void> {
  const sending = edge.shadows.take().map(async ({ tenant, version, tally }) => {
    const noting = edge.policyStoreOf(shardOf(tenant)).noteShadow(tenant, version, tally)
    if (!(await settledWithin(noting, SEND_MS_MAX))) edge.counters.count('notesLost')
  })
  await Promise.allSettled(sending)
}
