import { expect, test } from 'vitest'
import { Cluster } from '../../cluster-agent/cluster.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import { selectPair } from '../../cluster-agent/routing/select.ts'
import { TEST_SECRETS } from '../support/cluster.ts'

const profile = {
  prefill: { fixedMs: 0, msPerToken: 0.1, msPerTokenPair: 0 },
  decodeStepMs: 10,
  kvTokens: 100_000,
}

function book(isPulled: boolean): ReadonlyMap<number, number> {
  const config = parseAgentConfig(
    {
      cluster: 'c',
      region: 'r',
      listen: { host: '127.0.0.1', port: 0 },
      models: [{ model: 'm', contextTokensMax: 1e6, kvBytesPerToken: 1000 }],
      endpoints: ['a', 'b'].map((endpoint, at) => ({
        endpoint,
        url: `http://127.0.0.1:${at + 1}`,
        events: `tcp://127.0.0.1:${at + 1}`,
        profile,
      })),
    },
    TEST_SECRETS,
  )
  const cluster = new Cluster(config)
  for (const number of [0, 1]) cluster.setUnavailable(number, null)
  const prompt = {
    model: config.models[0]!,
    promptBytes: 4000,
    markers: Uint32Array.of(4000, 1, 2),
    outputTokensMax: 10,
    isSplittable: false,
  }
  const { size, candidates } = cluster.price(prompt, 0, new Set())
  const pair = selectPair(candidates, size).ranked[0]!.candidate
  const source = isPulled ? candidates.find((one) => one !== pair.prefill)! : null
  cluster.book({ ...pair, source }, size, 'id', prompt, true, 0)
  return cluster.state(prompt.model).speculation.match(prompt.markers, 1)
}

test('a prompt that is computed is expected where it went', () => {
  expect([...book(false).values()]).toEqual([4000])
})

test('a prefix that is being pulled is expected nowhere: who comes meanwhile would compute it all', () => {
  expect(book(true).size).toBe(0)
})
