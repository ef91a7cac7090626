import { expect, test } from 'vitest'
import { policySchema } from '../../protocol/policy.ts'
import { admit } from '../../worker/admit.ts'

const TENANT = {
  tenant: 't',
  policy: policySchema.parse({ regions: ['us-east'] }),
  policyVersion: 0,
  keyId: 'k',
  shadow: null,
}

function admitted(more: Readonly<Record<string, unknown>>) {
  return admit(TENANT, { model: 'm', ...more }, new Headers())
}

test('what is kept of a request for as long as it lives holds nothing of its prompt', () => {
  const more = { messages: [{ role: 'user', content: 'a secret' }], prompt: 'a secret', tools: ['a secret'] }
  expect(JSON.stringify(admitted(more))).not.toContain('a secret')
})

test.each([
  [{}, 1],
  [{ n: 3 }, 3],
  [{ n: 2, best_of: 5 }, 5],
  [{ n: 1e9 }, 128],
  [{ n: -1 }, 1],
  [{ n: 'two' }, 1],
])('%j asks for %d answers', (more, answers) => {
  expect(admitted(more).answers).toBe(answers)
})
