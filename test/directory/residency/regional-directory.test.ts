import { describe, expect, test } from 'vitest'
import {
  GONE_MS_MAX,
  RegionalDirectory,
  SILENCE_MS_MAX,
} from '../../../directory/residency/regional-directory.ts'
import type { Effect } from '../../../directory/residency/sending.ts'
import {
  ask as question,
  CHANGES,
  frame,
  heartbeat,
  hello,
  LOAD,
  markersOf,
  MODEL,
  OFFER,
  outcome,
  outcomes,
  quiesce,
} from '../fake-agent.ts'

const CLUSTER = 'us-east-1'
const MARKERS = markersOf(CHANGES)

function say(effects: readonly Effect[]): unknown[] {
  return effects.map((effect) =>
    effect.kind === 'send' ? [effect.connection, effect.message.type, effect.closes] : effect,
  )
}

function messagesOf(effects: readonly Effect[]): unknown[] {
  return effects.map((effect) => (effect.kind === 'send' ? effect.message : effect))
}

function synced(epoch = 7): RegionalDirectory {
  const directory = new RegionalDirectory('us-east', 1024)
  directory.receiveText('a', CLUSTER, hello(CLUSTER, epoch), 0)
  directory.receiveFrame('a', CLUSTER, frame('snapshot', epoch, 1, CHANGES.slice(0, 2)), 0)
  directory.receiveFrame('a', CLUSTER, frame('snapshot-end', epoch, 2, CHANGES.slice(2)), 0)
  directory.receiveText('a', CLUSTER, heartbeat(epoch, 2), 0)
  return directory
}

function ask(directory: RegionalDirectory, nowMs = 0, cluster = CLUSTER) {
  return directory
    .lookup(question(MARKERS), nowMs)
    .flat()
    .find((known) => known.cluster === cluster)
}

test('a snapshot makes a cluster known, each part acknowledged', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  expect(directory.lookup(question(MARKERS), 0)).toEqual([[]])
  const welcome = directory.receiveText('a', CLUSTER, hello(CLUSTER, 7), 0)
  expect(messagesOf(welcome)).toEqual([{ type: 'welcome', epoch: 7, directory: 'us-east', v: 2 }])
  expect(ask(directory)).toEqual({ cluster: CLUSTER, state: 'unknown' })
  const ack = directory.receiveFrame('a', CLUSTER, frame('snapshot', 7, 1, CHANGES.slice(0, 2)), 1)
  expect(messagesOf(ack)).toEqual([{ type: 'ack', epoch: 7, seq: 1 }])
  expect(ask(directory)).toEqual({ cluster: CLUSTER, state: 'unknown' })
  directory.receiveFrame('a', CLUSTER, frame('snapshot-end', 7, 2, CHANGES.slice(2)), 2)
  directory.receiveText('a', CLUSTER, heartbeat(7, 2), 3)
  expect(ask(directory, 13)).toEqual({
    cluster: CLUSTER,
    state: 'known',
    matchedBytes: 768,
    tier: 2,
    ageMs: 10,
    loadAgeMs: 10,
    draining: false,
    offer: OFFER,
    load: LOAD,
  })
})

test('deltas move and remove prefixes; a duplicate changes nothing', () => {
  const directory = synced()
  const drop = frame('delta', 7, 3, [{ ...CHANGES[2]!, tier: 0 }])
  expect(directory.receiveFrame('a', CLUSTER, drop, 1)).toEqual([])
  expect(ask(directory)).toMatchObject({ matchedBytes: 512, tier: 1 })
  expect(directory.receiveFrame('a', CLUSTER, frame('delta', 7, 3, [CHANGES[2]!]), 2)).toEqual([])
  expect(ask(directory)).toMatchObject({ matchedBytes: 512 })
})

describe('a stream that is not whole is begun anew', () => {
  test.each([
    ['a gap', frame('delta', 7, 4), 'sequence-gap'],
    ['another epoch', frame('delta', 8, 3), 'epoch-mismatch'],
    ['a truncated frame', frame('delta', 7, 3, CHANGES).subarray(0, 30), 'malformed-frame'],
    [
      'an unknown version',
      Uint8Array.from(frame('delta', 7, 3), (b, i) => (i === 0 ? 99 : b)),
      'unsupported-version',
    ],
    ['a snapshot part out of place', frame('snapshot', 7, 3), 'malformed-frame'],
  ])('%s', (_, bytes, reason) => {
    const directory = synced()
    const sendings = directory.receiveFrame('a', CLUSTER, bytes, 1)
    expect(messagesOf(sendings)).toEqual([{ type: 'resync', reason }])
    expect(ask(directory, 1)).toEqual({ cluster: CLUSTER, state: 'unknown' })
    // Frames that are under way do not ask again, and the new hello heals.
    expect(directory.receiveFrame('a', CLUSTER, frame('delta', 7, 3), 2)).toEqual([])
    expect(say(directory.receiveText('a', CLUSTER, hello(CLUSTER, 9), 3))).toEqual([['a', 'welcome', false]])
    directory.receiveFrame('a', CLUSTER, frame('snapshot-end', 9, 1, CHANGES.slice(0, 1)), 4)
    expect(ask(directory, 4)).toMatchObject({ state: 'known', matchedBytes: 256 })
  })

  test('a delta before the snapshot is complete', () => {
    const directory = new RegionalDirectory('us-east', 1024)
    directory.receiveText('a', CLUSTER, hello(CLUSTER, 7), 0)
    const sendings = directory.receiveFrame('a', CLUSTER, frame('delta', 7, 1, CHANGES), 0)
    expect(messagesOf(sendings)).toEqual([{ type: 'resync', reason: 'malformed-frame' }])
  })

  test('a heartbeat that is ahead of the frames', () => {
    const directory = synced()
    const sendings = directory.receiveText('a', CLUSTER, heartbeat(7, 3), 1)
    expect(messagesOf(sendings)).toEqual([{ type: 'resync', reason: 'sequence-gap' }])
  })

  test('a connection that this object has never met', () => {
    const directory = new RegionalDirectory('us-east', 1024)
    const sendings = directory.receiveText('a', CLUSTER, heartbeat(7, 3), 1)
    expect(messagesOf(sendings)).toEqual([{ type: 'resync', reason: 'unknown-stream' }])
    expect(directory.receiveText('a', CLUSTER, heartbeat(7, 3), 2)).toEqual([])
    expect(directory.receiveText('a', CLUSTER, heartbeat(7, 3), 60_000)).toHaveLength(1)
  })
})

describe('two agents of one cluster', () => {
  test('the newer incarnation wins, whoever comes first', () => {
    const directory = synced()
    expect(say(directory.receiveText('b', CLUSTER, hello(CLUSTER, 8, 2), 1))).toEqual([
      ['a', 'refused', true],
      ['b', 'welcome', false],
    ])
    expect(say(directory.receiveText('c', CLUSTER, hello(CLUSTER, 9, 1), 2))).toEqual([
      ['c', 'refused', true],
    ])
    expect(say(directory.receiveFrame('a', CLUSTER, frame('delta', 7, 3), 3))).toEqual([
      ['a', 'refused', true],
    ])
  })

  test('an older one takes over from a newer one that is gone or silent', () => {
    const closed = synced()
    closed.receiveText('b', CLUSTER, hello(CLUSTER, 8, 2), 1)
    closed.close('b', CLUSTER)
    expect(say(closed.receiveText('c', CLUSTER, hello(CLUSTER, 9, 1), 2))).toEqual([['c', 'welcome', false]])
    const silent = synced()
    silent.receiveText('b', CLUSTER, hello(CLUSTER, 8, 2), 1)
    expect(say(silent.receiveText('c', CLUSTER, hello(CLUSTER, 9, 1), 6000))).toContainEqual([
      'c',
      'welcome',
      false,
    ])
  })
})

test('what a silent cluster said is believed for a while, then it is unknown and its prefixes are gone', () => {
  const directory = synced()
  directory.close('a', CLUSTER)
  expect(ask(directory, SILENCE_MS_MAX)).toMatchObject({ state: 'known', ageMs: SILENCE_MS_MAX })
  expect(ask(directory, SILENCE_MS_MAX + 1)).toEqual({ cluster: CLUSTER, state: 'unknown' })
  expect(directory.inspect(SILENCE_MS_MAX + 1).streams).toMatchObject([{ state: 'absent', entries: 0 }])
})

test('clusters keep apart', () => {
  const directory = synced()
  directory.receiveText('b', 'eu-central-1', hello('eu-central-1', 1), 0)
  directory.receiveFrame('b', 'eu-central-1', frame('snapshot-end', 1, 1, CHANGES.slice(0, 1)), 0)
  expect(ask(directory)).toMatchObject({ matchedBytes: 768 })
  expect(ask(directory, 0, 'eu-central-1')).toMatchObject({ matchedBytes: 256, tier: 1 })
  // A new hello forgets its own cluster only.
  directory.receiveText('b', 'eu-central-1', hello('eu-central-1', 2), 0)
  expect(ask(directory)).toMatchObject({ matchedBytes: 768 })
  expect(
    directory.inspect(0).streams.map(({ cluster, state, entries }) => [cluster, state, entries]),
  ).toEqual([
    [CLUSTER, 'live', 3],
    ['eu-central-1', 'syncing', 0],
  ])
})

test('at most 16 clusters; one that is gone makes room', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  for (let i = 0; i < 16; i++) directory.receiveText(`${i}`, `c-${i}`, hello(`c-${i}`, 1), 0)
  const full = directory.receiveText('x', 'one-more', hello('one-more', 1), 0)
  expect(messagesOf(full)).toEqual([{ type: 'refused', reason: 'clusters-full' }])
  directory.close('3', 'c-3')
  const later = directory.receiveText('x', 'one-more', hello('one-more', 1), SILENCE_MS_MAX + 1)
  expect(say(later)).toEqual([['x', 'welcome', false]])
})

test.each([
  ['no JSON', '{'],
  ['no message', '{"type":"hello"}'],
  ['too long', JSON.stringify({ type: 'hello', pad: 'x'.repeat(2 ** 21) })],
])('%s is refused', (_, text) => {
  const directory = synced()
  expect(say(directory.receiveText('a', CLUSTER, text, 1))).toEqual([['a', 'refused', true]])
})

test('a hello for another cluster, and an unknown version', () => {
  const directory = synced()
  const wrong = directory.receiveText('b', CLUSTER, hello('eu-central-1', 1), 1)
  expect(messagesOf(wrong)).toEqual([{ type: 'refused', reason: 'wrong-cluster' }])
  const newer = hello(CLUSTER, 1).replace('"v":1', '"v":99')
  expect(directory.receiveText('b', CLUSTER, newer, 1)).toEqual([
    {
      kind: 'send',
      connection: 'b',
      message: { type: 'resync', reason: 'unsupported-version' },
      closes: true,
    },
  ])
  expect(ask(directory)).toMatchObject({ state: 'known' })
})

test('models are listed as soon as an agent has said hello', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  directory.receiveText('a', CLUSTER, hello(CLUSTER, 7), 0)
  expect(directory.models(0).clusters).toEqual([
    { cluster: CLUSTER, models: [{ model: MODEL, contextTokensMax: 8192 }] },
  ])
})

test('outcomes are delivered in every state of the stream, those of another cluster never', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const own = outcome({ cluster: CLUSTER })
  const delivery = { kind: 'deliver', connection: 'a', batch: 3, outcomes: [own] }
  expect(directory.receiveText('a', CLUSTER, outcomes(7, 3, [own]), 0)).toEqual([delivery])
  const live = synced()
  expect(live.receiveText('a', CLUSTER, outcomes(7, 3, [own]), 1)).toEqual([delivery])
  const forged = outcomes(7, 4, [own, outcome({ cluster: 'eu-central-1' })])
  expect(messagesOf(live.receiveText('a', CLUSTER, forged, 2))).toEqual([
    { type: 'refused', reason: 'wrong-cluster' },
  ])
})

test('an agent that leaves takes its cluster along, until another says hello', () => {
  const directory = synced()
  expect(directory.receiveText('a', CLUSTER, quiesce(99), 1)).toEqual([])
  expect(ask(directory, 1)).toMatchObject({ state: 'known' })
  directory.receiveText('a', CLUSTER, quiesce(7), 2)
  expect(ask(directory, 2)).toEqual({ cluster: CLUSTER, state: 'unknown', hasLeft: true })
  // What was under way is no reason to ask anybody.
  expect(directory.receiveFrame('a', CLUSTER, frame('delta', 7, 3, CHANGES), 3)).toEqual([])
  expect(ask(directory, GONE_MS_MAX)).toMatchObject({ hasLeft: true })
  expect(ask(directory, GONE_MS_MAX + 3)).toEqual({ cluster: CLUSTER, state: 'unknown' })
  directory.close('a', CLUSTER)
  directory.receiveText('b', CLUSTER, hello(CLUSTER, 8), 4)
  directory.receiveFrame('b', CLUSTER, frame('snapshot-end', 8, 1, CHANGES), 5)
  expect(ask(directory, 5)).toMatchObject({ state: 'known', matchedBytes: 768 })
})

test('a flood of deltas is refused, and the cluster forgotten', () => {
  const directory = synced()
  const many = Array.from({ length: 16_384 }, (_, i) => ({ lo: i, hi: i, tier: 0 }))
  const bytes = frame('delta', 7, 3, many)
  let seq = 3
  let said: unknown[] = []
  while (said.length === 0 && seq < 1000) {
    new DataView(bytes.buffer).setUint32(8, seq++, true)
    said = say(directory.receiveFrame('a', CLUSTER, bytes, 1))
  }
  expect(said).toEqual([['a', 'refused', true]])
  expect(seq).toBeLessThan(150)
  expect(ask(directory, 1)).toMatchObject({ state: 'unknown' })
  expect(directory.inspect(1).rejects).toEqual({ flood: 1 })
})

test('a heartbeat that comes late brings no older load back, and every fifth is answered', () => {
  const directory = synced()
  const beat = (number: number, backlogMs: number) =>
    heartbeat(7, 2, { backlogMs }).replace('"draining"', `"beat":${number},"draining"`)
  expect(directory.receiveText('a', CLUSTER, beat(2, 20), 1)).toEqual([])
  directory.receiveText('a', CLUSTER, beat(1, 10), 2)
  expect(ask(directory, 2)).toMatchObject({ load: { backlogMs: 20 }, loadAgeMs: 1 })
  expect(messagesOf(directory.receiveText('a', CLUSTER, beat(5, 50), 3))).toEqual([
    { type: 'heard', epoch: 7, beat: 5 },
  ])
})

test('a duplicate makes nothing fresh', () => {
  const directory = synced()
  directory.receiveFrame('a', CLUSTER, frame('snapshot-end', 7, 2, CHANGES.slice(2)), 4000)
  expect(ask(directory, 5000)).toMatchObject({ ageMs: 5000 })
})

test('several endpoints that hold a prefix are told apart from one', () => {
  const directory = synced()
  expect(ask(directory)).not.toHaveProperty('copies')
  directory.receiveFrame('a', CLUSTER, frame('delta', 7, 3, [{ ...CHANGES[2]!, tier: 8 | 1 }]), 1)
  expect(ask(directory, 1)).toMatchObject({ tier: 1, copies: 'several' })
  expect(directory.inspect(1).streams).toMatchObject([{ entries: 3, tiers: { gpu: 3, cpu: 0 } }])
})

test('isolates hear of each other: bookings, round trips, failures', () => {
  const directory = synced()
  const told = {
    isolate: 2,
    bookings: [{ cluster: CLUSTER, workMs: 70, markers: MARKERS, agoMs: 0, rttMs: 20 }],
    sightings: [{ cluster: CLUSTER, successes: 0, failures: 3, rttsMs: [8, 9, 10] }],
  }
  directory.lookup(question(MARKERS, told), 1)
  expect(ask(directory, 2)).toMatchObject({
    othersBookedMs: [70],
    othersSpeculativeBytes: 768,
    rttMs: 9,
    isFailing: true,
  })
  const [own] = directory.lookup(question(MARKERS, { isolate: 2, colo: 'FRA' }), 2)
  expect(own?.[0]).not.toHaveProperty('othersBookedMs')
  expect(own?.[0]).not.toHaveProperty('rttMs')
  directory.receiveText('a', CLUSTER, heartbeat(7, 2), 200)
  expect(ask(directory, 201)).not.toHaveProperty('othersBookedMs')
})

test('an inspection shows the loads of some models only', () => {
  const directory = synced()
  const models = Array.from({ length: 40 }, (_, index) => ({ ...LOAD, model: `model-${index}` }))
  const beat = { type: 'heartbeat', v: 2, epoch: 7, seq: 2, loads: models, draining: false }
  directory.receiveText('a', CLUSTER, JSON.stringify(beat), 1)
  expect(directory.inspect(2).streams[0]?.loads).toEqual(models.slice(0, 32))
})
