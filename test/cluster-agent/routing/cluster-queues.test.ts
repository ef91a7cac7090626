import { expect, test } from 'vitest'
import { queuesOf, type Standing } from '../../../cluster-agent/routing/cluster-queues.ts'
import { IDLE, type EndpointLoad, type Role } from '../../../cluster-agent/routing/endpoint.ts'
import { DECODERS_REPORTED_MAX } from '../../../protocol/report.ts'

const profile = {
  prefill: { fixedMs: 30, msPerToken: 0.06, msPerTokenPair: 2e-6 },
  decodeStepMs: 13,
  decodeMsPerSequence: 0.1,
  batchTokensMax: 4096,
  kvTokens: 100_000,
  tiers: {},
  transfer: { floorMs: 2, bytesPerMs: 40e6 },
}

function standing(role: Role, backlogMs: number, load: Partial<EndpointLoad> = {}): Standing {
  return {
    endpoint: { number: 0, name: 'e0', role, version: null, profile },
    load: { ...IDLE, backlogMs, ...load },
  }
}

test('queues are those of the endpoints made for prefill, rising, with what is held', () => {
  const standings = [
    standing('prefill', 900, { kvPressure: 0.9 }),
    standing('both', 300, { kvPressure: 0.3 }),
  ]
  const queues = queuesOf([...standings, standing('decode', 0)], 40, 0.5)
  expect(queues).toMatchObject({ backlogMs: 340, otherBacklogsMs: [940], kvPressure: 0.3 })
  expect(queues.first).toBe(standings[1])
})

test('an endpoint for decode is told with what prefill disturbs there', () => {
  const busy = { decoding: 10, contextTokens: 10_000, answerTokens: 100 }
  const { decoders } = queuesOf(
    [standing('prefill', 0), standing('decode', 50, busy), standing('decode', 70)],
    5,
    0.5,
  )
  expect(decoders).toHaveLength(2)
  expect(decoders?.[0]).toMatchObject({ backlogMs: 55, stallShare: 0.5 })
  expect(decoders?.[0]?.comingPerMs).toBeGreaterThan(0)
  expect(decoders?.[1]).toEqual({ backlogMs: 75, stallShare: 0, comingPerMs: 0 })
})

test('few of many are told, those with the lowest backlogs', () => {
  const many = Array.from({ length: 9 }, (_, at) => standing('decode', 90 - at * 10))
  const { decoders } = queuesOf([standing('prefill', 0), ...many], 0, 0.5)
  expect(decoders?.map(({ backlogMs }) => backlogMs)).toEqual(
    [10, 20, 30, 40].slice(0, DECODERS_REPORTED_MAX),
  )
})

test('where all decode, they are the queues; where nobody is, there is none', () => {
  expect(queuesOf([standing('decode', 20)], 0, 0.5)).toMatchObject({ backlogMs: 20, decoders: [] })
  expect(queuesOf([], 0, 0.5)).toMatchObject({
    first: null,
    backlogMs: 0,
    otherBacklogsMs: [],
    kvPressure: 0,
  })
})

test('a hand-off is told by its bytes and a step of the answer, where those that prefill do not decode', () => {
  const handoff = { floorMs: 15, bytesPerMs: 40e6 }
  expect(queuesOf([standing('prefill', 0), standing('decode', 0)], 0, 0.5)).toMatchObject({ handoff })
  expect(queuesOf([standing('both', 0), standing('decode', 0)], 0, 0.5)).not.toHaveProperty('handoff')
  expect(queuesOf([standing('prefill', 0)], 0, 0.5)).not.toHaveProperty('handoff')
})
