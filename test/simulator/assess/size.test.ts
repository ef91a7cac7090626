import fc from 'fast-check'
import { expect, test } from 'vitest'
import { keepsSlo, SizeSearch, type FleetSize } from '../../../simulator/assess/size.ts'

const LIMITS = { endpointsMin: 2, endpointsMax: 32, dramGibMax: 1024, nvmeGibMax: 4096 }

/** A fleet that needs so many endpoints, fewer by what its memory is worth. */
const needs = (endpoints: number, dramGib: number, nvmeGib: number) => (fleet: FleetSize) =>
  fleet.endpoints + (fleet.dramGib >= dramGib ? 4 : 0) + (fleet.nvmeGib >= nvmeGib ? 1 : 0) >= endpoints

test('fewest endpoints first, then the least DRAM that keeps them, then NVMe only when it spares an endpoint', () => {
  expect(new SizeSearch(LIMITS, needs(20, 256, 999_999)).run()).toEqual({
    smallest: { endpoints: 16, dramGib: 256, nvmeGib: 0 },
    withoutMemory: { endpoints: 20, dramGib: 0, nvmeGib: 0 },
  })
  expect(new SizeSearch(LIMITS, needs(20, 256, 2000)).run().smallest).toEqual({
    endpoints: 15,
    dramGib: 256,
    nvmeGib: 2048,
  })
})

test('what even the largest fleet does not keep has no size', () => {
  expect(new SizeSearch(LIMITS, () => false).run()).toEqual({ smallest: null, withoutMemory: null })
  // Without DRAM the largest is not enough.
  expect(new SizeSearch(LIMITS, needs(34, 1024, 999_999)).run()).toEqual({
    smallest: { endpoints: 30, dramGib: 1024, nvmeGib: 0 },
    withoutMemory: null,
  })
})

test('for any fleet that is monotone the search finds the least, and asks for none twice', () => {
  const nat = (max: number) => fc.integer({ min: 1, max })
  fc.assert(
    fc.property(nat(36), nat(1024), nat(4096), (endpoints, dramGib, nvmeGib) => {
      const keeps = needs(endpoints, dramGib, nvmeGib)
      const asked: string[] = []
      const { smallest } = new SizeSearch(LIMITS, (fleet) => {
        asked.push(JSON.stringify(fleet))
        return keeps(fleet)
      }).run()
      expect(new Set(asked).size).toBe(asked.length)
      expect(asked.length).toBeLessThan(40)
      if (smallest === null) return expect(keeps({ endpoints: 32, dramGib: 1024, nvmeGib: 4096 })).toBe(false)
      expect(keeps(smallest)).toBe(true)
      const fewer = { ...smallest, endpoints: smallest.endpoints - 1, dramGib: 1024, nvmeGib: 4096 }
      if (fewer.endpoints >= LIMITS.endpointsMin) expect(keeps(fewer)).toBe(false)
    }),
    { numRuns: 200 },
  )
})

test('an SLO binds each of its figures, and nothing may be lost', () => {
  const trial = { ttftP90Ms: 900, ttftP99Ms: 2000, tpotP90Ms: 40, lost: 0 }
  const slo = { ttftP90Ms: 1000, ttftP99Ms: null, tpotP90Ms: null }
  expect(keepsSlo(trial, slo)).toBe(true)
  expect(keepsSlo({ ...trial, ttftP90Ms: 1001 }, slo)).toBe(false)
  expect(keepsSlo(trial, { ...slo, ttftP99Ms: 1999 })).toBe(false)
  expect(keepsSlo(trial, { ...slo, tpotP90Ms: 39 })).toBe(false)
  expect(keepsSlo({ ...trial, lost: 1 }, slo)).toBe(false)
})
