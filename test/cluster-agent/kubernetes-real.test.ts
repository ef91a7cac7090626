/**
 * The informers against a real API server, played by hand: no controllers, no kubelet. Runs when ISOTHERM_KUBE names one
 * (`https://127.0.0.1:16443`, bearer token `rig`, the InferencePool CRD applied); building one takes a quarter of an hour.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Agent, request } from 'undici'
import type { EndpointSpec } from '../../cluster-agent/discovery/endpoint-spec.ts'
import { kubernetesSchema } from '../../cluster-agent/discovery/kubernetes-config.ts'
import { KubernetesSource } from '../../cluster-agent/kubernetes-source.ts'
import { until } from '../support/wait.ts'

const SERVER = process.env['ISOTHERM_KUBE']
const PROFILE = { prefill: { fixedMs: 1, msPerToken: 1, msPerTokenPair: 0 }, decodeStepMs: 1, kvTokens: 1000 }
const dispatcher = new Agent({ connect: { rejectUnauthorized: false } })

async function call(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<void> {
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
  const { statusCode, body: answer } = await request(`${SERVER}${path}`, {
    method,
    dispatcher,
    headers: { authorization: 'Bearer rig', 'content-type': type },
    body: body ? JSON.stringify(body) : null,
  })
  const text = await answer.text()
  if (statusCode >= 300) throw new Error(`${method} ${path}: ${statusCode} ${text.slice(0, 400)}`)
}

test.skipIf(!SERVER)(
  'a real API server: pods come, drain and go; slices too [needs ISOTHERM_KUBE, a real kube-apiserver]',
  async () => {
    const namespace = `isotherm-${Date.now()}`
    const folder = await mkdtemp(join(tmpdir(), 'isotherm-kube-'))
    await writeFile(
      join(folder, 'config'),
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'rig',
        contexts: [{ name: 'rig', context: { cluster: 'rig', user: 'rig' } }],
        clusters: [{ name: 'rig', cluster: { server: SERVER, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'rig', user: { token: 'rig' } }],
      }),
    )
    await call('POST', '/api/v1/namespaces', { metadata: { name: namespace } })
    const pods = `/api/v1/namespaces/${namespace}/pods`
    const createPod = async (name: string, ip: string, role: string) => {
      await call('POST', pods, {
        metadata: { name, labels: { app: 'vllm', 'llm-d.ai/role': role } },
        spec: { containers: [{ name: 'vllm', image: 'vllm' }] },
      })
      await setReady(name, ip, false)
    }
    const setReady = (name: string, ip: string, isReady: boolean) =>
      call('PATCH', `${pods}/${name}/status`, {
        status: {
          phase: 'Running',
          podIP: ip,
          podIPs: [{ ip }],
          conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }],
        },
      })
    await call('POST', `/apis/inference.networking.k8s.io/v1/namespaces/${namespace}/inferencepools`, {
      apiVersion: 'inference.networking.k8s.io/v1',
      kind: 'InferencePool',
      metadata: { name: 'pool' },
      spec: {
        selector: { matchLabels: { app: 'vllm' } },
        targetPorts: [{ number: 8000 }],
        endpointPickerRef: { name: 'epp', port: { number: 9002 } },
      },
    })
    await createPod('prefill-0', '10.77.0.1', 'prefill')
    let specs: readonly EndpointSpec[] = []
    const config = { namespace, kubeconfig: join(folder, 'config'), profile: PROFILE }
    const source = new KubernetesSource(
      kubernetesSchema.parse({ ...config, inferencePool: 'pool' }),
      pino({ level: 'silent' }),
    )
    await source.start((found) => (specs = found))
    const states = () =>
      specs.map(({ endpoint, role, isServing }) => `${endpoint}/${role}/${isServing}`).join()
    try {
      expect(states()).toBe('prefill-0/prefill/false')
      await setReady('prefill-0', '10.77.0.1', true)
      await until('it to be ready', () => states() === 'prefill-0/prefill/true')
      await createPod('decode-0', '10.77.0.2', 'decode')
      await setReady('decode-0', '10.77.0.2', true)
      await until('the second pod', () => states() === 'decode-0/decode/true,prefill-0/prefill/true')
      const uids = specs.map(({ incarnation }) => incarnation)
      await setReady('prefill-0', '10.77.0.1', false)
      await until('it to drain', () => states() === 'decode-0/decode/true,prefill-0/prefill/false')
      await call('DELETE', `${pods}/prefill-0?gracePeriodSeconds=0`)
      await until('it to be gone', () => states() === 'decode-0/decode/true')
      await createPod('prefill-0', '10.77.0.1', 'prefill')
      await until('another incarnation', () => specs.length === 2 && specs[1]?.incarnation !== uids[1])
    } finally {
      await source.stop()
    }

    await call('POST', `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, {
      metadata: {
        name: 'p-1',
        labels: { 'kubernetes.io/service-name': 'prefill', 'llm-d.ai/role': 'prefill' },
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8000 }],
      endpoints: [
        { addresses: ['10.77.0.1'], conditions: { ready: true } },
        { addresses: ['10.77.0.3'], conditions: { ready: false, serving: true, terminating: true } },
      ],
    })
    const bySlices = new KubernetesSource(
      kubernetesSchema.parse({ ...config, services: ['prefill'] }),
      pino({ level: 'silent' }),
    )
    await bySlices.start((found) => (specs = found))
    await bySlices.stop()
    expect(states()).toBe('ip-10-77-0-1/prefill/true,ip-10-77-0-3/prefill/false')
    await call('DELETE', `/api/v1/namespaces/${namespace}`)
    await rm(folder, { recursive: true })
  },
  60_000,
)
