import { expect, test } from 'vitest'
import { takingSalt } from '../../../cluster-agent/routing/cache-salt.ts'

const of = (versions: readonly (string | null)[]) => versions.map((version) => ({ endpoint: { version } }))

test('Messages go to engines that keep share scopes apart, or are not known not to', () => {
  const apart = of(['0.27.0', '0.32.0+cpu', '0.100.0', '1.2.3', null, '0.1.dev1+g0123456', 'rollout-7'])
  const shared = of(['0.26.0', '0.23.0+rollout-7', '0.9.2.post2'])
  expect(takingSalt('messages', [...apart, ...shared])).toEqual(apart)
  for (const api of ['chat', 'completions', 'responses'] as const)
    expect(takingSalt(api, shared)).toEqual(shared)
})
