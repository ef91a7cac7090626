import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Accuracy } from '../../cluster-agent/accuracy.ts'
import { Cluster } from '../../cluster-agent/cluster.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import type { EventSources } from '../../cluster-agent/event-sources.ts'
import type { FinishedRequest } from '../../cluster-agent/finished-request.ts'
import type { Health } from '../../cluster-agent/health.ts'
import { TEST_SECRETS } from '../support/cluster.ts'

function rig() {
  const profile = {
    prefill: { fixedMs: 1, msPerToken: 1, msPerTokenPair: 0 },
    decodeStepMs: 1,
    kvTokens: 1000,
  }
  const cluster = new Cluster(
    parseAgentConfig(
      {
        cluster: 'c',
        region: 'r',
        listen: { port: 0 },
        models: [{ model: 'm', contextTokensMax: 100, kvBytesPerToken: 1 }],
        endpoints: ['a', 'b'].map((endpoint) => ({
          endpoint,
          url: 'http://127.0.0.1:1',
          events: 'tcp://127.0.0.1:1',
          profile,
        })),
      },
      TEST_SECRETS,
    ),
  )
  const resynced: number[] = []
  const well: number[] = []
  const lines: string[] = []
  const reread: number[] = []
  const feed = { state: 'live', counts: { messages: 10, gaps: 1 }, mayMissEvents: false }
  const sources = {
    of: () => feed,
    reread: (number: number) => reread.push(number) > 0,
    rootsOf: () => ({ salted: 10, unsalted: 0, blockTokens: 16, sameHashes: 0, otherHashes: 0 }),
    resync: (number: number) => resynced.push(number),
  } as unknown as EventSources
  const health = { of: () => null, noteSuccess: (number: number) => well.push(number) } as unknown as Health
  const accuracy = new Accuracy(
    cluster,
    sources,
    health,
    pino({ level: 'info' }, { write: (line: string) => lines.push(line) }),
  )
  for (const endpoint of cluster.endpoints) accuracy.open(endpoint)
  const finish = (fields: Partial<FinishedRequest>) =>
    accuracy.noteFinished({
      end: 'complete',
      status: 200,
      prefillEndpoint: 'a',
      decodeEndpoint: 'b',
      isForeseeable: true,
      matchedTokens: 320,
      cachedTokens: 320,
      knownTokens: 320,
      predictedTtftMs: 10,
      ttftMs: 10,
      ...fields,
    } as FinishedRequest)
  const times = (count: number, fields: Partial<FinishedRequest>) => {
    for (let i = 0; i < count; i++) finish(fields)
  }
  return { accuracy, times, resynced, reread, feed, well, lines }
}

test('belief in what is not there is named once, and cured by a replay', () => {
  const { accuracy, times, resynced, lines } = rig()
  times(8, {})
  expect(accuracy.of(0)?.diagnosis).toBeNull()
  times(8, { cachedTokens: 0 })
  expect(accuracy.of(0)?.diagnosis).toBe('stale-residency')
  expect(accuracy.of(1)?.diagnosis).toBeNull()
  expect(resynced).toEqual([0])
  times(20, { cachedTokens: 0 })
  expect(resynced).toEqual([0])
  expect(lines.filter((line) => line.includes('stale-residency'))).toHaveLength(1)
  times(64, {})
  expect(accuracy.of(0)?.diagnosis).toBeNull()
  expect(lines.at(-1)).toContain('come true again')
})

test('only whole answers count; both endpoints of one are well', () => {
  const { accuracy, times, well } = rig()
  times(20, { end: 'client-left', cachedTokens: 0 })
  times(20, { end: 'failed', status: 502, cachedTokens: 0 })
  times(20, { status: 400, cachedTokens: 0 })
  expect(accuracy.of(0)?.summary.requests).toBe(0)
  expect(well).toEqual([])
  times(1, {})
  expect(well).toEqual([0, 1])
})

test('a retired endpoint is forgotten; one of the same name begins anew', () => {
  const { accuracy, times } = rig()
  times(10, { cachedTokens: 0 })
  accuracy.retire(0)
  expect(accuracy.of(0)).toBeNull()
  times(1, {})
  accuracy.open({ number: 5, name: 'a', role: 'both', version: null, profile: {} as never })
  times(1, {})
  expect(accuracy.of(5)).toMatchObject({ summary: { requests: 1 }, diagnosis: null })
})

test('what a burst expects of itself, or finds after a wait, is no evidence', () => {
  const { accuracy, times, resynced } = rig()
  times(100, { cachedTokens: 0, isForeseeable: false })
  expect(accuracy.of(0)).toMatchObject({ diagnosis: null, summary: { reported: 0 } })
  expect(resynced).toEqual([])
})

test('a gap that was closed is no cause, and what is true is not forgotten for what is missing', () => {
  const { accuracy, times, resynced, reread, feed } = rig()
  times(16, { matchedTokens: 0 })
  expect(accuracy.of(0)?.diagnosis).toBe('missing-events')
  expect([resynced, reread]).toEqual([[], []])
  feed.mayMissEvents = true
  times(16, { matchedTokens: 0 })
  expect([resynced, reread]).toEqual([[], [0]])
})

test('a prompt that was learnt after it was answered is no evidence', () => {
  const { accuracy, times, resynced, reread } = rig()
  times(100, { matchedTokens: 0, knownTokens: 0 })
  expect(accuracy.of(0)).toMatchObject({ diagnosis: null, summary: { under: 64, lost: 0 } })
  expect([resynced, reread]).toEqual([[], []])
})
