import { expect, test } from 'vitest'
import { Room } from '../../../cluster-agent/admission/room.ts'
import { IDLE, type EndpointLoad, type Role } from '../../../cluster-agent/routing/endpoint.ts'

const profile = {
  prefill: { fixedMs: 30, msPerToken: 0.06, msPerTokenPair: 0 },
  decodeStepMs: 13,
  decodeMsPerSequence: 0.1,
  batchTokensMax: 4096,
  kvTokens: 1000,
  tiers: {},
  transfer: { floorMs: 2, bytesPerMs: 40e6 },
}

function place(role: Role, load: Partial<EndpointLoad> = {}, version: string | null = null) {
  return { endpoint: { number: 0, name: 'e', role, version, profile }, load: { ...IDLE, ...load } }
}

test('an endpoint has room until its queue is as long as may wait there', () => {
  expect(new Room([place('both', { backlogMs: 500 })], 500).fits(10)).toBe(true)
  expect(new Room([place('both', { backlogMs: 501 })], 500).fits(10)).toBe(false)
  expect(new Room([place('both', { backlogMs: 501 }), place('both')], 500).fits(10)).toBe(true)
  expect(new Room([], 500).fits(1)).toBe(false)
})

test('what goes at one look is counted before its booking is', () => {
  const room = new Room([place('both'), place('both')], 500)
  room.take(600, 10)
  expect(room.fits(10)).toBe(true)
  room.take(600, 10)
  expect(room.fits(10)).toBe(false)
})

test('space counts; who is alone gets it whatever the size', () => {
  const pinned = 900
  expect(new Room([place('both', { pinnedTokens: pinned })], 500).fits(100)).toBe(true)
  expect(new Room([place('both', { pinnedTokens: pinned })], 500).fits(101)).toBe(false)
  expect(new Room([place('both')], 500).fits(99_999)).toBe(true)
})

test('a prefill endpoint needs one that decodes and understands it; a decode endpoint prefills for itself only', () => {
  const full = place('decode', { pinnedTokens: 1000 }, 'v2')
  expect(new Room([place('prefill', {}, 'v2'), full], 500).fits(10)).toBe(false)
  expect(new Room([place('prefill', {}, 'v2'), full, place('decode', {}, 'v2')], 500).fits(10)).toBe(true)
  const slow = place('decode', { backlogMs: 9999 }, 'v1')
  expect(new Room([place('prefill', {}, 'v2'), slow], 500).fits(10)).toBe(false)
  expect(new Room([place('prefill', {}, 'v1'), slow], 500).fits(10)).toBe(true)
  // Without any decoder prefill endpoints do both.
  expect(new Room([place('prefill')], 500).fits(10)).toBe(true)
})
