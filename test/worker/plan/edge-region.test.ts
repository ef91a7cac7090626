import { expect, test } from 'vitest'
import { edgeConfigSchema } from '../../../protocol/edge-config.ts'
import { findEdgeRegion } from '../../../worker/plan/edge-region.ts'

const config = edgeConfigSchema.parse({
  homeRegion: 'us',
  regions: [
    { region: 'us', colos: ['IAD'], continents: ['NA'] },
    { region: 'eu', colos: ['FRA', 'LHR'], continents: ['EU', 'AF'] },
  ],
  clusters: [{ cluster: 'c', region: 'us', url: 'http://c.test' }],
  tenants: [],
})

test.each([
  [{ colo: 'LHR', continent: 'NA' }, 'eu'],
  [{ colo: 'CDG', continent: 'EU' }, 'eu'],
  [{ continent: 'AF' }, 'eu'],
  [{ colo: 'NRT', continent: 'AS' }, 'us'],
  [{}, 'us'],
])('%o belongs to %s', (place, region) => {
  expect(findEdgeRegion(config, place)).toBe(region)
})
