import { expect, test } from 'vitest'
import { EdgeIsolates } from '../../../simulator/policies/edge-isolates.ts'

const markers = Uint32Array.of(2048, 7, 0x51, 4096, 8, 0x51)

test('isolates of a region hear of each other with the next lookup of who has sent something', () => {
  const isolates = new EdgeIsolates(2, () => 10)
  isolates.of(0).bookings.book('c', 300, markers, 1000)
  expect(isolates.othersBooked(1, 'c', 1000, 1010)).toEqual([])
  isolates.tell(0, 1020)
  expect(isolates.othersBooked(1, 'c', 1000, 1030)).toEqual([300])
  expect(isolates.othersSpeculativeBytes(1, markers, 1030).get('c')).toBe(4096)
  // What it sent itself it knows, and is not told again.
  expect(isolates.othersBooked(0, 'c', 1000, 1030)).toEqual([])
  expect(isolates.othersSpeculativeBytes(0, markers, 1030).size).toBe(0)
  // A heartbeat that has come since shows it.
  expect(isolates.othersBooked(1, 'c', 1100, 1110)).toEqual([])
})
