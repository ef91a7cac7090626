import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import { Cluster } from '../../cluster-agent/cluster.ts'
import { parseAgentConfig } from '../../cluster-agent/config.ts'
import { Health } from '../../cluster-agent/health.ts'
import { Roster } from '../../cluster-agent/roster.ts'
import { TEST_SECRETS } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

/** What a real engine says of itself, without one: each answer can be changed. */
interface Probe {
  readonly url: string
  isWell: boolean
  /** It answers nothing any more. */
  isSilent: boolean
  /** Questions that it did not answer. */
  silences: number
  metrics: string
  version: string
}

const servers: Server[] = []
let health: Health
let roster: Roster

afterEach(async () => {
  await roster.stop()
  await health.stop()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

async function startProbe(): Promise<Probe> {
  const server = createServer((request, response) => {
    if (probe.isSilent) return void probe.silences++
    if (request.url === '/metrics') response.end(probe.metrics)
    else if (request.url === '/version') response.end(JSON.stringify({ version: probe.version }))
    else response.writeHead(probe.isWell ? 200 : 503).end()
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const probe: Probe = {
    url,
    isWell: true,
    isSilent: false,
    silences: 0,
    metrics: 'process_start_time_seconds 1000',
    version: '0.32.0',
  }
  return probe
}

const specOf = ({ url }: Probe, number: number) => ({
  endpoint: `e-${number}`,
  url,
  events: 'tcp://127.0.0.1:1',
  profile: { prefill: { fixedMs: 1, msPerToken: 1, msPerTokenPair: 0 }, decodeStepMs: 1, kvTokens: 1000 },
})

async function start(probes: readonly Probe[]) {
  const config = parseAgentConfig(
    {
      cluster: 'c',
      region: 'r',
      listen: { port: 0 },
      models: [{ model: 'm', contextTokensMax: 100, kvBytesPerToken: 1 }],
      endpoints: probes.map(specOf),
    },
    TEST_SECRETS,
  )
  const cluster = new Cluster(config)
  const restarted: number[] = []
  const reset: number[] = []
  const log = pino({ level: 'silent' })
  health = new Health({
    cluster,
    onRestart: (number) => restarted.push(number),
    onReset: (number) => reset.push(number),
    log,
    intervalMs: 50,
  })
  roster = new Roster(cluster, [health], log)
  roster.start()
  await health.start()
  return { cluster, restarted, reset }
}

test('a failure takes an endpoint out; on probation it gets one leg at a time, while another can take the rest', async () => {
  const { cluster } = await start([await startProbe(), await startProbe()])
  expect([cluster.unavailable(0), cluster.unavailable(1)]).toEqual([null, null])
  health.noteFailure(0, 'silence')
  expect(cluster.unavailable(0)).toBe('silence')
  await until('probation', () => cluster.unavailable(0) === null)
  expect(health.of(0)?.breaker).toBe('half-open')
  cluster.bookings.bookDecode(0, 'probe', 10, performance.now())
  expect(cluster.unavailable(0)).toBe('limited')
  health.noteFailure(1, 'ECONNREFUSED')
  // Nobody else is there: a bound would only refuse requests.
  expect(cluster.unavailable(0)).toBeNull()
  health.noteSuccess(0)
  expect(health.of(0)?.breaker).toBe('closed')
  await until('the other on probation', () => cluster.unavailable(1) === null)
  expect(cluster.unavailable(0)).toBeNull()
})

test('an engine whose health is late is asked when no other takes requests, until a request fails there', async () => {
  const [late, other] = [await startProbe(), await startProbe()]
  const { cluster } = await start([late, other])
  late.isSilent = true
  await until('its lateness', () => cluster.unavailable(0) === 'late')
  health.noteFailure(1, 'ECONNREFUSED')
  expect([cluster.unavailable(0), cluster.unavailable(1)]).toEqual([null, 'ECONNREFUSED'])
  health.noteFailure(0, 'silence')
  expect(cluster.unavailable(0)).toBe('silence')
})

test('an engine that sleeps is not asked, however late it is', async () => {
  const probe = await startProbe()
  probe.metrics = 'vllm:engine_sleep_state{sleep_state="weights_offloaded"} 1.0'
  const { cluster } = await start([probe])
  expect(cluster.unavailable(0)).toBe('asleep')
  const before = probe.silences
  probe.isSilent = true
  // Two polls in a row make it late, the third begins after both are over, and one more may be for its metrics.
  await until('it was asked in vain', () => probe.silences >= before + 4)
  expect(cluster.unavailable(0)).toBe('asleep')
})

test('another process start time is a restart, once', async () => {
  const probe = await startProbe()
  const { restarted } = await start([probe])
  probe.metrics = 'process_start_time_seconds 2000'
  await until('the restart', () => restarted.length > 0)
  const before = probe.metrics
  probe.metrics = `${before}\nvllm:num_requests_running 3`
  await until('another reading', () => health.of(0)?.reading?.running === 3)
  expect(restarted).toEqual([0])
})

test('version, sizes and sleep are read; what cannot be true is counted and ignored', async () => {
  const probe = await startProbe()
  probe.metrics = [
    'vllm:cache_config_info{block_size="32",num_gpu_blocks="13"} 1.0',
    'vllm:kv_cache_usage_perc 73.0',
    'vllm:num_requests_waiting -4.0',
  ].join('\n')
  const { cluster, reset } = await start([probe])
  expect(cluster.endpoints[0]?.version).toBe('0.32.0')
  expect(cluster.states[0]?.index.blockTokens).toBe(32)
  expect(health.of(0)).toMatchObject({ impossible: 2, reading: { kvUsage: null, waiting: null } })
  expect(cluster.unavailable(0)).toBeNull()
  probe.metrics = 'vllm:engine_sleep_state{sleep_state="weights_offloaded"} 1.0'
  await until('it to be out', () => cluster.unavailable(0) === 'asleep')
  await until('another reading', () => health.of(0)?.reading?.isAsleep)
  // Once, however often it is seen asleep.
  expect(reset).toEqual([0])
  probe.metrics = 'vllm:engine_sleep_state{sleep_state="awake"} 1.0'
  await until('it to be back', () => cluster.unavailable(0) === null)
})

test('a newcomer takes a few requests first, unless it is alone', async () => {
  const probe = await startProbe()
  const newcomer = await startProbe()
  const { cluster } = await start([probe])
  const [spec] = cluster.config.endpoints
  roster.apply([spec!, { ...spec!, endpoint: 'newcomer', url: newcomer.url }])
  await until('the newcomer', () => cluster.unavailable(1) === null)
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) cluster.bookings.bookDecode(1, id, 10, performance.now())
  expect(cluster.unavailable(1)).toBe('limited')
  probe.isWell = false
  await until('the other to be out', () => cluster.unavailable(0) !== null)
  expect(cluster.unavailable(1)).toBeNull()
})
