import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EndpointSpec } from '../../cluster-agent/discovery/endpoint-spec.ts'
import { kubernetesSchema } from '../../cluster-agent/discovery/kubernetes-config.ts'
import { KubernetesSource } from '../../cluster-agent/kubernetes-source.ts'
import { startKubeApi, type KubeApi } from '../support/kube-api.ts'
import { until } from '../support/wait.ts'

const POOLS = '/apis/inference.networking.k8s.io/v1/namespaces/default/inferencepools'
const PODS = '/api/v1/namespaces/default/pods'
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'
const PROFILE = {
  prefill: { fixedMs: 1, msPerToken: 1, msPerTokenPair: 0 },
  decodeStepMs: 1,
  kvTokens: 1000,
}

let api: KubeApi
let folder: string
let source: KubernetesSource
let specs: readonly EndpointSpec[] = []

beforeEach(async () => {
  api = await startKubeApi()
  folder = await mkdtemp(join(tmpdir(), 'isotherm-kube-'))
  await writeFile(join(folder, 'config'), api.kubeconfig())
  specs = []
})

afterEach(async () => {
  await source?.stop()
  await api.stop()
  await rm(folder, { recursive: true })
})

async function start(fields: Record<string, unknown>): Promise<void> {
  source = new KubernetesSource(
    kubernetesSchema.parse({ kubeconfig: join(folder, 'config'), profile: PROFILE, ...fields }),
    pino({ level: 'silent' }),
  )
  await source.start((found) => {
    specs = found
  })
}

const pool = (labels: Record<string, string>, ports = [8000]) => ({
  apiVersion: 'inference.networking.k8s.io/v1',
  kind: 'InferencePool',
  metadata: { name: 'pool' },
  spec: { selector: { matchLabels: labels }, targetPorts: ports.map((number) => ({ number })) },
})
const pod = (
  name: string,
  {
    ip = '10.0.0.1',
    uid = `uid-of-${name}`,
    labels = {},
    isReady = true,
    extra = {},
  }: Record<string, unknown> = {},
) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, uid, labels: { app: 'vllm', ...(labels as object) }, ...(extra as object) },
  status: {
    phase: 'Running',
    podIP: ip,
    conditions: [
      { type: 'Ready', status: isReady ? 'True' : 'False', lastTransitionTime: '2026-11-25T10:00:00Z' },
    ],
  },
})
const names = () => specs.map(({ endpoint }) => endpoint)

test('pods of an InferencePool become endpoints with role, ranks, incarnation and revision', async () => {
  api.put(POOLS, pool({ app: 'vllm' }, [8000, 8001]))
  api.put(
    PODS,
    pod('prefill-a', {
      labels: { 'llm-d.ai/role': 'prefill', 'disaggregatedset.x-k8s.io/revision': 'r1' },
    }),
  )
  api.put(PODS, pod('other', { labels: { app: 'web' } }))
  await start({ inferencePool: 'pool', replayPort: 5560 })
  expect(specs).toMatchObject([
    {
      endpoint: 'prefill-a.0',
      url: 'http://10.0.0.1:8000',
      role: 'prefill',
      revision: 'r1',
      events: 'tcp://10.0.0.1:5557',
      replay: 'tcp://10.0.0.1:5560',
      incarnation: 'uid-of-prefill-a',
      isServing: true,
    },
    { endpoint: 'prefill-a.1', url: 'http://10.0.0.1:8001', events: 'tcp://10.0.0.1:5558' },
  ])
})

test('how engines hand KV over is said once for all of them, with ports beside their own', async () => {
  api.put(POOLS, pool({ app: 'vllm' }))
  api.put(PODS, pod('p-0', { ip: '10.0.0.1', labels: { app: 'vllm', 'llm-d.ai/role': 'prefill' } }))
  api.put(PODS, pod('p-1', { ip: '10.0.0.2', labels: { app: 'vllm', 'llm-d.ai/role': 'decode' } }))
  await start({
    inferencePool: 'pool',
    connector: 'mooncake',
    bootstrapPort: 8998,
    peerTierPort: 7000,
    ranks: 2,
  })
  expect(
    specs.map(({ connector, bootstrap, bootstrapRank, peerTier }) => [
      connector,
      bootstrap,
      bootstrapRank,
      peerTier,
    ]),
  ).toEqual([
    ['mooncake', 'http://10.0.0.1:8998', 0, '10.0.0.1:7000'],
    ['mooncake', 'http://10.0.0.1:8998', 1, '10.0.0.1:7001'],
    ['mooncake', undefined, undefined, '10.0.0.2:7000'],
    ['mooncake', undefined, undefined, '10.0.0.2:7001'],
  ])
})

test('ranks that are ports of a pod are those that its bootstrap server is asked for', async () => {
  api.put(POOLS, pool({ app: 'vllm' }, [8000, 8001]))
  api.put(PODS, pod('p', { labels: { 'llm-d.ai/role': 'prefill' } }))
  await start({ inferencePool: 'pool', connector: 'mooncake', bootstrapPort: 8998 })
  expect(specs.map(({ url, rank, bootstrapRank }) => [url, rank, bootstrapRank])).toEqual([
    // No header names a rank to a port that serves one.
    ['http://10.0.0.1:8000', undefined, 0],
    ['http://10.0.0.1:8001', undefined, 1],
  ])
})

test('a rollout: pods come, drain and go, and a new selector finds other pods', async () => {
  api.put(POOLS, pool({ app: 'vllm' }))
  api.put(PODS, pod('a'))
  await start({ inferencePool: 'pool' })
  expect(names()).toEqual(['a'])
  api.put(PODS, pod('b', { ip: '10.0.0.2', isReady: false }))
  await until('the new pod, not ready', () => names().join() === 'a,b' && specs[1]?.isServing === false)
  api.put(PODS, pod('b', { ip: '10.0.0.2' }))
  await until('it to be ready', () => specs[1]?.isServing === true)
  api.put(PODS, pod('a', { extra: { deletionTimestamp: '2026-11-25T10:00:00Z' } }))
  await until('the old pod to drain', () => specs[0]?.isServing === false)
  api.remove(PODS, 'a')
  await until('the old pod to be gone', () => names().join() === 'b')
  api.put(PODS, pod('b', { ip: '10.0.0.2', uid: 'another' }))
  await until('another incarnation', () => specs[0]?.incarnation === 'another')
  api.put(PODS, pod('c', { ip: '10.0.0.3', labels: { app: 'next' } }))
  api.put(POOLS, pool({ app: 'next' }))
  await until('the pods of the new selector', () => names().join() === 'c')
})

test('what cannot be used is left out: unknown roles and profiles, pods that have ended, objects that do not fit', async () => {
  api.put(POOLS, pool({ app: 'vllm' }))
  api.put(PODS, pod('encode-only', { labels: { 'llm-d.ai/role': 'encode' } }))
  api.put(PODS, pod('of-another-gpu', { labels: { 'isotherm.dev/profile': 'h200' } }))
  api.put(PODS, pod('no-such-gpu', { labels: { 'isotherm.dev/profile': 'b300' } }))
  api.put(PODS, { ...pod('ended'), status: { phase: 'Failed', podIP: '10.0.0.9' } } as never)
  api.put(PODS, { ...pod('pending'), status: { phase: 'Pending' } } as never)
  api.put(PODS, { metadata: { name: 'odd', labels: { app: 'vllm' } }, status: { podIP: 7 } } as never)
  api.put(PODS, pod('both', { labels: { 'llm-d.ai/role': 'prefill-decode' } }))
  await start({ inferencePool: 'pool', profiles: { h200: { ...PROFILE, kvTokens: 2000 } } })
  expect(specs.map(({ endpoint, role, profile }) => [endpoint, role, profile.kvTokens])).toEqual([
    ['both', 'both', 1000],
    ['of-another-gpu', 'both', 2000],
  ])
})

test('Services: ready, serving and terminating of EndpointSlices, IPv6, and the role of the Service', async () => {
  const slice = (name: string, service: string, endpoints: readonly object[], role?: string) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    metadata: {
      name,
      labels: { 'kubernetes.io/service-name': service, ...(role ? { 'llm-d.ai/role': role } : {}) },
    },
    ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
    endpoints,
  })
  const address = (ip: string, podName: string, conditions: object) => ({
    addresses: [ip],
    conditions,
    targetRef: { kind: 'Pod', name: podName, uid: `uid-of-${podName}` },
  })
  api.put(
    SLICES,
    slice(
      'p-1',
      'prefill',
      [
        address('10.0.0.1', 'p-0', { ready: true }),
        address('10.0.0.2', 'p-1', { ready: false, serving: true, terminating: true }),
      ],
      'prefill',
    ),
  )
  api.put(SLICES, slice('d-1', 'decode', [address('fd00::7', 'd-0', {})], 'decode'))
  api.put(SLICES, slice('x-1', 'else', [address('10.0.0.9', 'x-0', {})]))
  await start({ services: ['prefill', 'decode'], ranks: 2 })
  expect(
    specs.map(({ endpoint, url, role, rank, isServing }) => [endpoint, url, role, rank, isServing]),
  ).toEqual([
    ['d-0.0', 'http://[fd00::7]:8000', 'decode', 0, true],
    ['d-0.1', 'http://[fd00::7]:8000', 'decode', 1, true],
    ['p-0.0', 'http://10.0.0.1:8000', 'prefill', 0, true],
    ['p-0.1', 'http://10.0.0.1:8000', 'prefill', 1, true],
    ['p-1.0', 'http://10.0.0.2:8000', 'prefill', 0, false],
    ['p-1.1', 'http://10.0.0.2:8000', 'prefill', 1, false],
  ])
})

test('a watch that is dropped, forgotten or refused goes on, and nothing is lost between', async () => {
  api.put(POOLS, pool({ app: 'vllm' }))
  api.put(PODS, pod('a'))
  await start({ inferencePool: 'pool' })
  const watches = () => api.requests.filter((request) => request === `watch ${PODS}`).length
  await until('a watch', () => watches() > 0)

  api.setBroken(true)
  api.dropWatches()
  await until('a refusal', () => watches() > 1)
  expect(names()).toEqual(['a'])
  api.forgetVersions()
  api.put(PODS, pod('b', { ip: '10.0.0.2' }))
  api.setBroken(false)
  await until('the pod that came meanwhile', () => names().join() === 'a,b')
  const before = watches()
  api.remove(PODS, 'a')
  api.dropWatches()
  await until('the watch again', () => watches() > before)
  await until('the pod that left', () => names().join() === 'b')

  api.remove(POOLS, 'pool')
  api.put(PODS, pod('c', { ip: '10.0.0.3' }))
  api.put(POOLS, pool({ app: 'vllm' }))
  await until('the pods of a pool that was made anew', () => names().join() === 'b,c')
})
