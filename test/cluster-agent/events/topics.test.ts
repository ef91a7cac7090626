import { expect, test } from 'vitest'
import { readEventSources } from '../../../cluster-agent/events/event-sources.ts'
import { peekRank } from '../../../cluster-agent/events/frames.ts'
import { ownerOf } from '../../../cluster-agent/events/topics.ts'
import { readEvents, readExchanges } from '../../support/recorded.ts'

const owners = [
  { endpoint: 'pod-a', url: 'http://10.0.0.1:8000' },
  { endpoint: 'pod-b', url: 'http://10.0.0.2:8000/', rank: 0 },
  { endpoint: 'pod-b1', url: 'http://10.0.0.2:8000', rank: 1 },
  { endpoint: 'pod-c', url: 'http://10.0.0.3:8000', eventsTopic: 'mine' },
]

test.each([
  ['kv@10.0.0.1:8000@model', null, 'pod-a'],
  ['kv@10.0.0.1@model', null, 'pod-a'],
  ['kv@pod-a@org/model@v2', null, 'pod-a'],
  ['pod-a', 3, 'pod-a'],
  ['kv@10.0.0.2:8000@model', 1, 'pod-b1'],
  ['kv@10.0.0.2:8000@model', null, 'pod-b'],
  ['kv@10.0.0.2:8000@model', 7, null],
  ['mine', null, 'pod-c'],
  ['kv@10.0.0.3:8000@model', null, null],
  ['kv@10.0.0.9:8000@model', null, null],
  ['kv@', null, null],
  ['', null, null],
])('topic %j of rank %j is that of %j', (topic, rank, endpoint) => {
  expect(ownerOf(owners, topic, rank)?.endpoint ?? null).toBe(endpoint)
})

test('the rank of a recorded message is read where it stands', () => {
  const [first] = readEvents('v0.32.0', 'dp-rank1')
  expect(peekRank(first!.frames[2]!)).toBe(1)
  expect(peekRank(Uint8Array.of(0x92, 0, 0))).toBeNull()
  expect(peekRank(Uint8Array.of(0x93, 0, 0x90, 0xcc, 0xc0))).toBeNull()
  expect(peekRank(Uint8Array.of(0x93, 0, 0x90, 0xcc, 0xa1))).toBe(0xa1)
  expect(peekRank(new Uint8Array())).toBeNull()
})

test('what a real vLLM says of its sources is understood, by rank, from the host that we know it by', () => {
  const body = (step: string) =>
    readExchanges('v0.32.0', step).find(({ request }) => request.path === '/kv_event_sources')!.response.json
  expect(readEventSources(body('ops'), 0, '10.0.0.7')).toEqual({
    events: 'tcp://10.0.0.7:5557',
    replay: 'tcp://10.0.0.7:5558',
  })
  const ranks = [0, 1].map((rank) => readEventSources(body('dp'), rank, 'h')?.events)
  expect(ranks[0]).not.toBe(ranks[1])
  expect(ranks[1]).toMatch(/^tcp:\/\/h:\d+$/)
  expect(readEventSources(body('ops'), 1, 'h')).toBeNull()
  for (const odd of [
    null,
    7,
    {},
    { 0: null },
    { 0: { enable_kv_cache_events: true, publisher: 'zmq', endpoint: 'inproc://x' } },
  ])
    expect(readEventSources(odd, 0, 'h')).toBeNull()
})
