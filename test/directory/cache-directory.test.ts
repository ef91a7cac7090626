import { createExecutionContext, evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, test, vi } from 'vitest'
import { directoryName, layoutTag } from '../../core/shards.ts'
import type { CacheDirectory } from '../../directory/cache-directory.ts'
import { SILENCE_MS_MAX } from '../../directory/residency/regional-directory.ts'
import type { DirectoryRpc } from '../../protocol/lookup.ts'
import { decodeAnswer, type LookupAnswer } from '../../protocol/lookup-packing.ts'
import { encodeBatch } from '../../protocol/lookup-wire.ts'
import { textOfUnits } from '../../directory/text-of-units.ts'
import type { DirectoryMessage } from '../../protocol/report.ts'
import { DirectoryFacts } from '../../worker/memory/directory-facts.ts'
import { directoryObjects, inJurisdiction } from '../../worker/directory-objects.ts'
import worker from '../../worker/index.ts'
import { ask, CHANGES, frame, heartbeat, hello, markersOf, MODEL, outcome, outcomes } from './fake-agent.ts'

/** The object on real sockets, dialled through the Worker's ingress. Each test has a region of its own. */
const CLUSTER = 'us-east-1'
const WAIT = { timeout: 5000, interval: 10 }
let regions = 0

class AgentSocket {
  readonly said: DirectoryMessage[] = []
  closeCode: number | null = null
  readonly #socket: WebSocket

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.accept()
    socket.addEventListener('message', ({ data }) => {
      this.said.push(JSON.parse(String(data)) as DirectoryMessage)
    })
    socket.addEventListener('close', ({ code }) => {
      this.closeCode = code
    })
  }

  send(message: string | Uint8Array): void {
    this.#socket.send(message)
  }

  close(): void {
    this.#socket.close(1000, 'done')
  }

  async hears(type: DirectoryMessage['type'], count = 1): Promise<void> {
    await vi.waitFor(
      () => expect(this.said.filter((message) => message.type === type)).toHaveLength(count),
      WAIT,
    )
  }

  /** A complete snapshot of `CHANGES`. */
  async sync(epoch: number, incarnation = 1, cluster = CLUSTER): Promise<void> {
    const acks = this.said.filter(({ type }) => type === 'ack').length
    const welcomes = this.said.filter(({ type }) => type === 'welcome').length
    this.send(hello(cluster, epoch, incarnation))
    await this.hears('welcome', welcomes + 1)
    this.send(frame('snapshot', epoch, 1, CHANGES.slice(0, 2)))
    await this.hears('ack', acks + 1)
    this.send(frame('snapshot-end', epoch, 2, CHANGES.slice(2)))
    await this.hears('ack', acks + 2)
    this.send(heartbeat(epoch, 2))
  }
}

interface World {
  readonly stub: DurableObjectStub & DirectoryRpc
  dial(cluster?: string, token?: string): Promise<Response>
  connect(cluster?: string): Promise<AgentSocket>
  ask(): Promise<unknown>
}

async function lookUp(stub: DirectoryRpc): Promise<LookupAnswer> {
  return decodeAnswer(await stub.lookup(textOfUnits(encodeBatch(ask(markersOf(CHANGES))))))!
}

const open: AgentSocket[] = []
afterEach(() => {
  for (const agent of open.splice(0)) agent.close()
})

function newWorld(): World {
  const region = `region-${regions++}`
  const config = JSON.parse(env.ISOTHERM_CONFIG) as { regions: object[] }
  const bindings = {
    ...env,
    ISOTHERM_CONFIG: JSON.stringify({ ...config, regions: [...config.regions, { region }] }),
  }
  const stub = env.DIRECTORY.get(env.DIRECTORY.idFromName(region)) as unknown as World['stub']
  const dial = async (cluster = CLUSTER, token = `token-of-${cluster}`) =>
    worker.fetch(
      new Request(`https://edge/internal/directory/${region}?cluster=${cluster}`, {
        headers: { upgrade: 'websocket', authorization: `Bearer ${token}` },
      }),
      bindings,
      createExecutionContext(),
    )
  return {
    stub,
    dial,
    connect: async (cluster) => {
      const { webSocket } = await dial(cluster)
      const agent = new AgentSocket(webSocket!)
      open.push(agent)
      return agent
    },
    ask: async () => {
      const answer = await lookUp(stub)
      return new DirectoryFacts().unpack([MODEL], answer)?.[0]
    },
  }
}

test('an agent syncs over a socket and its prefixes are found', async () => {
  const { connect, ask, stub } = newWorld()
  expect(await ask()).toEqual([])
  const agent = await connect()
  await agent.sync(7)
  await vi.waitFor(
    async () => expect(await ask()).toMatchObject([{ state: 'known', load: { endpoints: 2 } }]),
    WAIT,
  )
  expect(await ask()).toMatchObject([{ cluster: CLUSTER, matchedBytes: 768, tier: 2, draining: false }])
  const { directory, streams } = await stub.inspect()
  expect(directory).toMatch(/^region-/)
  expect(agent.said[0]).toEqual({ type: 'welcome', epoch: 7, directory, v: 2 })
  expect(streams).toMatchObject([{ cluster: CLUSTER, state: 'live', seq: 2, entries: 3 }])
})

test('the token is checked before the upgrade', async () => {
  const { dial } = newWorld()
  const statuses = await Promise.all([
    dial(CLUSTER, 'wrong'),
    dial(CLUSTER, 'token-of-eu-central-1'),
    dial('nobody', 'token-of-nobody'),
    dial('Not A Name', 'token'),
    dial(CLUSTER, ''),
  ])
  expect(statuses.map(({ status }) => status)).toEqual([403, 403, 403, 403, 401])
  expect(statuses.every(({ webSocket }) => webSocket === null)).toBe(true)
})

test('an unknown region, and a request that is no WebSocket', async () => {
  const ask = (path: string, upgrade?: string) =>
    worker.fetch(
      new Request(`https://edge${path}`, {
        headers: { authorization: `Bearer token-of-${CLUSTER}`, ...(upgrade ? { upgrade } : {}) },
      }),
      env,
      createExecutionContext(),
    )
  expect((await ask(`/internal/directory/nowhere?cluster=${CLUSTER}`, 'websocket')).status).toBe(404)
  expect((await ask(`/internal/directory/us-east?cluster=${CLUSTER}`)).status).toBe(400)
})

test('an evicted object knows nothing, asks for a resync, and knows again', async () => {
  const { connect, ask, stub } = newWorld()
  const agent = await connect()
  await agent.sync(7)
  await evictDurableObject(stub)
  expect(await ask()).toEqual([])
  agent.send(heartbeat(7, 2))
  await agent.hears('resync')
  expect(agent.said.at(-1)).toEqual({ type: 'resync', reason: 'unknown-stream' })
  expect(await ask()).toEqual([{ cluster: CLUSTER, state: 'unknown' }])
  await agent.sync(8)
  expect(await ask()).toMatchObject([{ state: 'known', matchedBytes: 768 }])
})

test('a socket that closes leaves what it said for a while', async () => {
  const { connect, ask, stub } = newWorld()
  const agent = await connect()
  await agent.sync(7)
  await vi.waitFor(async () => expect(await ask()).toMatchObject([{ load: { endpoints: 2 } }]), WAIT)
  agent.close()
  expect(await ask()).toMatchObject([{ state: 'known', matchedBytes: 768 }])
  await runInDurableObject(stub, (instance) => {
    ;(instance as unknown as CacheDirectory).nowMs = () => Date.now() + SILENCE_MS_MAX + 1000
  })
  expect(await ask()).toEqual([{ cluster: CLUSTER, state: 'unknown' }])
})

test('a newer incarnation takes the cluster, the older socket is closed', async () => {
  const { connect, ask } = newWorld()
  const older = await connect()
  await older.sync(7, 1)
  const newer = await connect()
  await newer.sync(8, 2)
  await older.hears('refused')
  expect(older.said.at(-1)).toEqual({ type: 'refused', reason: 'superseded' })
  await vi.waitFor(() => expect(older.closeCode).toBe(1008), WAIT)
  expect(await ask()).toMatchObject([{ state: 'known', matchedBytes: 768 }])
})

test('a hello for another cluster than the token names is refused', async () => {
  const { connect } = newWorld()
  const agent = await connect()
  agent.send(hello('eu-central-1', 1))
  await agent.hears('refused')
  expect(agent.said).toEqual([{ type: 'refused', reason: 'wrong-cluster' }])
  await vi.waitFor(() => expect(agent.closeCode).toBe(1008), WAIT)
})

test('outcomes are acknowledged when the ledgers have them', async () => {
  const { connect } = newWorld()
  const agent = await connect()
  await agent.sync(7)
  agent.send(outcomes(7, 1, [outcome(), outcome({ tenant: 'other', requestId: 'request-2' })]))
  await agent.hears('outcomes-ack')
  expect(agent.said.at(-1)).toEqual({ type: 'outcomes-ack', batch: 1, untaken: [] })
})

test('versions only rise, and outlive an eviction', async () => {
  const { stub } = newWorld()
  const versions = async () => (await lookUp(stub)).versions
  expect(await versions()).toEqual({})
  await stub.noteVersion('policies', 5)
  await stub.noteVersion('policies', 4)
  await stub.noteVersion('keys', 0)
  expect(await versions()).toEqual({ policies: 5, keys: 0 })
  await evictDurableObject(stub)
  expect(await versions()).toEqual({ policies: 5, keys: 0 })
  expect(await stub.noteVersion('No Name', 1)).toBe(false)
  expect(await stub.noteVersion('policies', 0.5)).toBe(false)
})

test('agents are told how the directory is divided, and each shard is an object of its own', async () => {
  const region = `region-${regions++}`
  const config = JSON.parse(env.ISOTHERM_CONFIG) as { regions: object[] }
  const layout = { shards: 2, markerBytes: { [MODEL]: 4096 } }
  const bindings = {
    ...env,
    ISOTHERM_CONFIG: JSON.stringify({ ...config, regions: [...config.regions, { region, layout }] }),
  }
  const get = (path: string, headers: Record<string, string> = {}) =>
    worker.fetch(
      new Request(`https://edge/internal/directory/${region}${path}`, {
        headers: { authorization: `Bearer token-of-${CLUSTER}`, ...headers },
      }),
      bindings,
      createExecutionContext(),
    )
  const told = await get(`/layout?cluster=${CLUSTER}`)
  expect(await told.json()).toEqual(layout)
  expect((await get('/layout?cluster=eu-central-1')).status).toBe(403)

  const tag = layoutTag(layout)
  const upgrade = { upgrade: 'websocket' }
  const { webSocket } = await get(`?cluster=${CLUSTER}&layout=${tag}&shard=1`, upgrade)
  const agent = new AgentSocket(webSocket!)
  open.push(agent)
  await agent.sync(7)
  const inspect = async (shard: number) => {
    const stub = env.DIRECTORY.get(env.DIRECTORY.idFromName(directoryName(region, layout, shard)))
    return (stub as unknown as DirectoryRpc).inspect()
  }
  expect((await inspect(1)).streams).toMatchObject([{ cluster: CLUSTER, entries: 3 }])
  expect((await inspect(0)).streams).toEqual([])
  for (const query of [`layout=${tag}&shard=2`, `layout=${tag}`, 'layout=s65&shard=0', 'layout=x&shard=0']) {
    expect((await get(`?cluster=${CLUSTER}&${query}`, upgrade)).status).toBe(400)
  }
})

test('objects of a jurisdiction are a namespace of their own where the platform has them', () => {
  expect(inJurisdiction(env.DIRECTORY, undefined)).toBe(env.DIRECTORY)
  expect(inJurisdiction(env.DIRECTORY, 'a-company-rule')).toBe(env.DIRECTORY)
  const restricted = {} as DurableObjectNamespace
  const asked: string[] = []
  const namespace = (answer: () => DurableObjectNamespace) =>
    ({
      jurisdiction: (name: string) => {
        asked.push(name)
        return answer()
      },
    }) as unknown as DurableObjectNamespace
  expect(
    inJurisdiction(
      namespace(() => restricted),
      'eu',
    ),
  ).toBe(restricted)
  expect(asked).toEqual(['eu'])
  const failing = (message: string) =>
    namespace(() => {
      throw new Error(message)
    })
  const local = failing('Jurisdiction restrictions are not implemented in workerd.')
  expect(inJurisdiction(local, 'eu')).toBe(local)
  // Nothing else may send data across a border.
  expect(() => inJurisdiction(failing('internal error'), 'eu')).toThrow('internal error')
  // What this runtime does with it shows that the words are the right ones.
  expect(inJurisdiction(env.DIRECTORY, 'eu')).toBe(env.DIRECTORY)
})

test('each shard is made where its own hint says, the others where the region does', () => {
  const made: [string, unknown][] = []
  const namespace = {
    idFromName: (name: string) => name,
    get: (name: string, options: unknown) => made.push([name, options]),
  } as unknown as DurableObjectNamespace
  const layout = { shards: 3, markerBytes: {} }
  const region = { region: 'eu.west', locationHint: 'weur', colos: [], continents: [], rttMs: {} }
  const objects = directoryObjects(
    namespace,
    new Map([
      ['eu.west', { ...region, layout, shardLocationHints: ['eeur', 'me'] }],
      ['us', { ...region, region: 'us', shardLocationHints: ['wnam'] }],
      ['plain', { ...region, region: 'plain', locationHint: undefined }],
    ]),
  )
  for (const name of ['eu.west', 'us', 'plain']) for (const object of objects.all(name)) object.open()
  expect(made).toEqual([
    [directoryName('eu.west', layout, 0), { locationHint: 'eeur' }],
    [directoryName('eu.west', layout, 1), { locationHint: 'me' }],
    [directoryName('eu.west', layout, 2), { locationHint: 'weur' }],
    ['us', { locationHint: 'wnam' }],
    ['plain', {}],
  ])
})

test('an id, which is a hash, is made once for all requests; a stub is made for each', () => {
  const calls: string[] = []
  const namespace = {
    idFromName: (name: string) => (calls.push('id'), name),
    get: () => (calls.push('stub'), {}),
  } as unknown as DurableObjectNamespace
  const region = { region: 'us', colos: [], continents: [], rttMs: {} }
  const objects = directoryObjects(namespace, new Map([['us', region]]))
  const request = { model: 'm', markers: new Uint32Array(0) }
  for (let i = 0; i < 3; i++) objects.forPrompt('us', request)?.open()
  expect(calls).toEqual(['id', 'stub', 'stub', 'stub'])
  expect(objects.forPrompt('nowhere', request)).toBeNull()
})

test('an object whose agents are silent needs no alarm to forget them', async () => {
  const { connect, ask, stub } = newWorld()
  const agent = await connect()
  await agent.sync(7)
  await vi.waitFor(async () => expect(await ask()).toMatchObject([{ state: 'known' }]), WAIT)
  await runInDurableObject(stub, async (instance, state) => {
    expect(await state.storage.getAlarm()).toBeNull()
    expect(state.storage.sql.databaseSize).toBeLessThan(20_000)
    ;(instance as unknown as CacheDirectory).nowMs = () => Date.now() + SILENCE_MS_MAX + 1000
  })
  expect(await stub.models()).toMatchObject({ clusters: [] })
})
