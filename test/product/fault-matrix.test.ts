import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EdgeConfigInput } from '../../protocol/edge-config.ts'
import { startFakeCluster, type FakeCluster, type FakeFault } from '../support/fake-cluster.ts'
import { freePort } from '../../cli/free-port.ts'
import { sha256, startLoneEdge, type LoneEdge } from '../support/lone-edge.ts'

/**
 * Every fault of a cluster, or of what the edge asks, against every API, streamed and whole, on bare workerd. Each fault
 * has a near cluster of its own; a far one is well. The table is printed, and is what is checked.
 */
const APIS = ['chat', 'responses', 'messages'] as const
const FAULTS: readonly FakeFault[] = [
  'silent',
  500,
  503,
  429,
  'reset before headers',
  'reset after headers',
  'reset in mid-stream',
  'stall in mid-stream',
  'slow link',
]
/** What a caller gets; `stream` and `whole`. */
const EXPECTED: Readonly<Record<string, readonly [stream: string, whole: string]>> = {
  'connect refused': ['200 away', '200 away'],
  silent: ['200 away', '200 away'],
  '500': ['200 away', '200 away'],
  '503': ['200 away', '200 away'],
  '429': ['200 away', '200 away'],
  'reset before headers': ['200 away', '200 away'],
  'reset after headers': ['200 away', '200 away'],
  // After the first event it is told; what comes whole has not gone out and is answered elsewhere.
  'reset in mid-stream': ['error event', '200 away'],
  'stall in mid-stream': ['error event', '200 away'],
  'slow link': ['200 near', '200 near'],
  'region gone': ['200 away', '200 away'],
  'directory gone': ['200 away', '200 away'],
  'store gone': ['200 away', '200 away'],
}
const ROWS = Object.keys(EXPECTED)
const slug = (row: string) => row.replaceAll(/[^a-z0-9]+/g, '-')
const keyOf = (row: string) => `key-of-${slug(row)}`

const edges: LoneEdge[] = []
const clusters: FakeCluster[] = []

beforeAll(async () => {
  const closed = () => freePort().then((port) => `http://127.0.0.1:${port}`)
  const away = await startFakeCluster('away')
  clusters.push(away)
  const near = await Promise.all(
    FAULTS.map(async (fault) => {
      const cluster = await startFakeCluster('near', fault)
      clusters.push(cluster)
      return { cluster: slug(String(fault)), region: slug(String(fault)), url: cluster.url }
    }),
  )
  const gone = await Promise.all(
    ['connect-refused-1', 'region-gone-1', 'region-gone-2'].map(async (cluster) => ({
      cluster,
      region: cluster.slice(0, -2),
      url: await closed(),
    })),
  )
  const all = [...near, ...gone]
  const config: EdgeConfigInput = {
    homeRegion: 'home',
    regions: [
      { region: 'home', rttMs: { ...Object.fromEntries(all.map(({ cluster }) => [cluster, 1])), away: 60 } },
    ],
    clusters: [...all, { cluster: 'away', region: 'away', url: away.url }],
    tenants: ROWS.map((row) => ({
      tenant: slug(row),
      apiKeySha256: [sha256(keyOf(row))],
      policy: {
        regions: [slug(row), 'away'],
        ...(row === 'store gone' ? { requestsPerMinute: 1000 } : {}),
      },
    })),
    // Longer than a busy machine takes for all cells at once.
    stallFloorMs: 4000,
    stallFactor: 1,
    idleProbeMs: 3000,
  }
  edges.push(
    ...(await Promise.all([startLoneEdge({ config }), startLoneEdge({ config, hasBrokenObjects: true })])),
  )
})
afterAll(async () => {
  await Promise.all([...edges, ...clusters].map((started) => started.stop()))
})

const PATHS = { chat: '/v1/chat/completions', responses: '/v1/responses', messages: '/v1/messages' } as const
const messages = [{ role: 'user', content: 'hello' }]
const BODIES = {
  chat: { messages, max_tokens: 1 },
  responses: { input: 'hello', max_output_tokens: 1 },
  messages: { messages, max_tokens: 1 },
} as const
const ENDS = { chat: 'data: [DONE]', responses: '"response.completed"', messages: '"message_stop"' } as const

async function outcomeOf(row: string, api: (typeof APIS)[number], stream: boolean): Promise<string> {
  const edge = row.endsWith('gone') && row !== 'region gone' ? edges[1] : edges[0]
  const response = await fetch(`${edge!.origin}${PATHS[api]}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${keyOf(row)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', stream, ...BODIES[api] }),
    signal: AbortSignal.timeout(20_000),
  })
  const text = await response.text()
  const name = /"model":"(\w+)"/.exec(text)?.[1]
  if (!stream) return typeof JSON.parse(text) === 'object' && name ? `${response.status} ${name}` : text
  const isTyped = api !== 'chat'
  const error = isTyped
    ? /\n\nevent: error\ndata: (.*)\n\n$/
    : /\n\ndata: (\{"error".*)\n\ndata: \[DONE\]\n\n$/
  const told = error.exec(text)?.[1]
  if (told !== undefined) return 'error' in (JSON.parse(told) as object) ? 'error event' : told
  return text.includes(ENDS[api]) ? `${response.status} ${name}` : text
}

test('every fault has the outcome of the table, on every API', async () => {
  const table = await Promise.all(
    ROWS.map(async (fault) => {
      const cells = await Promise.all(
        APIS.flatMap((api) =>
          [true, false].map(async (stream) => {
            const outcome = await outcomeOf(fault, api, stream).catch((error: unknown) => String(error))
            return [`${api}, ${stream ? 'stream' : 'whole'}`, outcome] as const
          }),
        ),
      )
      return { fault, ...Object.fromEntries(cells) }
    }),
  )
  // oxlint-disable-next-line no-console -- the table is what this test is for
  console.table(table)
  const expected = ROWS.map((fault) => {
    const [stream = '', whole = ''] = EXPECTED[fault] ?? []
    const cells = APIS.flatMap((api) => [
      [`${api}, stream`, stream],
      [`${api}, whole`, whole],
    ])
    return { fault, ...Object.fromEntries(cells) }
  })
  expect(table).toEqual(expected)
})
