import { expect, test } from 'vitest'
import { edgeConfig, engineProfile, LOCAL_REGIONS, rttBetweenMs } from '../../../cli/local/topology.ts'
import { workerdConfigText } from '../../../cli/local/workerd-config.ts'
import { edgeConfigSchema } from '../../../protocol/edge-config.ts'
import { agentProfile } from '../../../simulator/policies/agent-profile.ts'
import { DEFAULT_PROFILE } from '../../../simulator/engine/profile.ts'

test('texts are quoted so that no value can leave its string', () => {
  const text = workerdConfigText({
    address: '127.0.0.1:1',
    bundle: 'index.js',
    compatibilityDate: '2026-10-15',
    compatibilityFlags: [],
    durableObjects: [{ binding: 'DIRECTORY', className: 'CacheDirectory' }],
    objectsFolder: '/tmp/objects',
    text: { A: 'a"),(name = "evil', B: 'line\nbreak\u0001', C: 'é' },
  })
  expect(text).toContain(String.raw`(name = "A", text = "a\"),(name = \"evil")`)
  expect(text).toContain(String.raw`(name = "B", text = "line\nbreak\x01")`)
  expect(text).toContain('(name = "C", text = "é")')
  expect(text).toContain('(name = "DIRECTORY", durableObjectNamespace = "CacheDirectory")')
})

test('the local edge configuration is valid and knows every link', () => {
  const entrances = Object.fromEntries(
    LOCAL_REGIONS.map(({ cluster }) => [
      cluster,
      Object.fromEntries(LOCAL_REGIONS.map(({ region }, i) => [region, `http://127.0.0.1:${9000 + i}`])),
    ]),
  )
  const config = edgeConfigSchema.parse(edgeConfig({ entrances, apiKeySha256: 'a'.repeat(64) }))
  for (const { url, entrances: links } of config.clusters) {
    expect(Object.keys(links)).toHaveLength(3)
    expect(Object.values(links)).toContain(url)
  }
})

test('round trips are symmetric and short at home', () => {
  for (const a of LOCAL_REGIONS) {
    for (const b of LOCAL_REGIONS) {
      expect(rttBetweenMs(a.region, b.region)).toBe(rttBetweenMs(b.region, a.region))
      if (a !== b) expect(rttBetweenMs(a.region, b.region)).toBeGreaterThan(rttBetweenMs(a.region, a.region))
    }
  }
})

test('agents of the local product are told what their engines are', () => {
  const { batchTokensMax: _, ...known } = agentProfile(DEFAULT_PROFILE)
  expect(engineProfile(1)).toEqual({
    ...known,
    tiers: { cpu: { floorMs: 0, bytesPerMs: DEFAULT_PROFILE.cpuBytesPerMs } },
  })
  expect(engineProfile(2).decodeMsPerContextToken).toBe(DEFAULT_PROFILE.decode.msPerContextToken / 2)
})
