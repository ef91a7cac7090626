import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { Bootstraps } from '../../cluster-agent/bootstraps.ts'
import type { EndpointSpec } from '../../cluster-agent/discovery/endpoint-spec.ts'

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

test('a bootstrap server is asked for the rank that the endpoint is, whether or not requests name one', async () => {
  let queries = 0
  const server = createServer((_, response) => {
    queries++
    response.end(JSON.stringify({ '0': { engine_id: 'zero' }, '1': { engine_id: 'one' } }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const bootstrap = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const spec = (fields: Partial<EndpointSpec>) => ({ bootstrap, ...fields }) as EndpointSpec
  const bootstraps = new Bootstraps()
  const idOf = async (fields: Partial<EndpointSpec>) => (await bootstraps.find(spec(fields)))?.engineId
  expect(await idOf({})).toBe('zero')
  expect(await idOf({ rank: 1 })).toBe('one')
  expect(await idOf({ bootstrapRank: 1 })).toBe('one')
  expect(await idOf({ rank: 0, bootstrapRank: 1 })).toBe('one')
  expect(await idOf({ bootstrapRank: 2 })).toBeUndefined()
  const before = queries
  await idOf({ bootstrapRank: 1 })
  expect(queries).toBe(before)
  bootstraps.forget(spec({ bootstrapRank: 1 }))
  await idOf({ bootstrapRank: 1 })
  expect(queries).toBe(before + 1)
})
