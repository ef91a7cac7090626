/**
 * Endpoints from Kubernetes: the pods that an InferencePool selects, or the EndpointSlices of Services. The library is
 * loaded only here: it is large, and most agents run without it.
 */
import type { KubeConfig } from '@kubernetes/client-node'
import type { Logger } from 'pino'
import type { KubernetesConfig } from './discovery/kubernetes-config.ts'
import { endpointsOfPods, endpointsOfSlices, type Found } from './discovery/kubernetes-endpoints.ts'
import {
  endpointSliceSchema,
  inferencePoolSchema,
  labelSelector,
  podSchema,
  type EndpointSlice,
  type InferencePool,
  type Pod,
} from './discovery/kubernetes-objects.ts'
import type { EndpointSource, OnEndpoints } from './discovery/source.ts'
import { watchObjects, type KubeWatch } from './kube-watch.ts'

/** Changes of one rollout step come as many events: they are taken together. */
const SETTLE_MS = 50
/** Longest wait for the first list; after it the agent starts without endpoints, and they come when they come. */
export const FIRST_LIST_MS_MAX = 10_000

const POOL_GROUP = { group: 'inference.networking.k8s.io', version: 'v1', plural: 'inferencepools' } as const

type ClientNode = typeof import('@kubernetes/client-node')

export class KubernetesSource implements EndpointSource {
  readonly #config: KubernetesConfig
  readonly #log: Logger
  #client: { readonly library: ClientNode; readonly kube: KubeConfig } | null = null
  #pool: KubeWatch<InferencePool> | null = null
  #pods: { readonly selector: string; readonly watch: KubeWatch<Pod> } | null = null
  #slices: KubeWatch<EndpointSlice> | null = null
  #timer: NodeJS.Timeout | undefined
  #onEndpoints: OnEndpoints = () => undefined
  #skipped = ''
  readonly #first = Promise.withResolvers<void>()
  readonly counts = { changes: 0 }

  constructor(config: KubernetesConfig, log: Logger) {
    this.#config = config
    this.#log = log
  }

  /** Rejects when there is no usable kubeconfig. */
  async start(onEndpoints: OnEndpoints): Promise<void> {
    const library = await import('@kubernetes/client-node')
    const kube = new library.KubeConfig()
    if (this.#config.kubeconfig) kube.loadFromFile(this.#config.kubeconfig)
    else kube.loadFromDefault()
    if (!kube.getCurrentCluster()) throw new Error('no Kubernetes API server is configured')
    this.#client = { library, kube }
    this.#onEndpoints = onEndpoints
    if (this.#config.services) this.#slices = this.#watchSlices(this.#config.services)
    else this.#pool = this.#watchPool(this.#config.inferencePool ?? '')
    const late = setTimeout(() => {
      this.#log.warn({}, 'Kubernetes: no answer yet, the agent starts without endpoints')
      this.#first.resolve()
    }, FIRST_LIST_MS_MAX)
    await this.#first.promise
    clearTimeout(late)
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#onEndpoints = () => undefined
    this.#first.resolve()
    await Promise.all([this.#pool?.stop(), this.#pods?.watch.stop(), this.#slices?.stop()])
  }

  readonly #onChange = (): void => {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#settle()
    }, SETTLE_MS)
  }

  #settle(): void {
    const found = this.#slices ? this.#foundBySlices(this.#slices) : this.#foundByPool()
    if (!found) return
    this.counts.changes++
    const skipped = JSON.stringify(found.skipped)
    if (skipped !== this.#skipped && found.skipped.length > 0)
      this.#log.warn({ skipped: found.skipped }, 'Kubernetes: servers that cannot be used')
    this.#skipped = skipped
    this.#onEndpoints(found.specs)
    this.#first.resolve()
  }

  #foundBySlices(watch: KubeWatch<EndpointSlice>): Found | null {
    const slices = watch.objects()
    return slices && endpointsOfSlices(slices, this.#config)
  }

  #foundByPool(): Found | null {
    const pools = this.#pool?.objects()
    if (!pools) return null
    const [pool] = pools
    if (!pool) {
      // A pool that is deleted and made anew must not end the requests between.
      this.#log.error(
        { inferencePool: this.#config.inferencePool },
        'Kubernetes: there is no such InferencePool',
      )
      this.#first.resolve()
      return null
    }
    const selector = labelSelector(pool)
    if (this.#pods?.selector !== selector) {
      void this.#pods?.watch.stop()
      this.#pods = { selector, watch: this.#watchPods(selector) }
    }
    const pods = this.#pods.watch.objects()
    return pods && endpointsOfPods(pods, pool, this.#config)
  }

  #watchPool(name: string): KubeWatch<InferencePool> {
    const { namespace } = this.#config
    const { group, version, plural } = POOL_GROUP
    const fieldSelector = `metadata.name=${name}`
    return this.#watch(
      `/apis/${group}/${version}/namespaces/${namespace}/${plural}`,
      { fieldSelector },
      inferencePoolSchema,
      ({ library, kube }) =>
        kube
          .makeApiClient(library.CustomObjectsApi)
          .listNamespacedCustomObject({ group, version, namespace, plural, fieldSelector }),
    )
  }

  #watchPods(selector: string): KubeWatch<Pod> {
    const { namespace } = this.#config
    return this.#watch(
      `/api/v1/namespaces/${namespace}/pods`,
      { labelSelector: selector },
      podSchema,
      ({ library, kube }) =>
        kube.makeApiClient(library.CoreV1Api).listNamespacedPod({ namespace, labelSelector: selector }),
    )
  }

  #watchSlices(services: readonly string[]): KubeWatch<EndpointSlice> {
    const { namespace } = this.#config
    const selector = `kubernetes.io/service-name in (${services.join(',')})`
    return this.#watch(
      `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
      { labelSelector: selector },
      endpointSliceSchema,
      ({ library, kube }) =>
        kube
          .makeApiClient(library.DiscoveryV1Api)
          .listNamespacedEndpointSlice({ namespace, labelSelector: selector }),
    )
  }

  #watch<T>(
    path: string,
    selectors: { readonly labelSelector?: string; readonly fieldSelector?: string },
    schema: Parameters<typeof watchObjects<T>>[2]['schema'],
    list: (client: { readonly library: ClientNode; readonly kube: KubeConfig }) => Promise<unknown>,
  ): KubeWatch<T> {
    const client = this.#client
    if (!client) throw new Error('not started')
    return watchObjects(
      client.library,
      client.kube,
      {
        path,
        ...selectors,
        schema,
        list: () => list(client) as ReturnType<Parameters<typeof watchObjects<T>>[2]['list']>,
      },
      this.#onChange,
      this.#log,
    )
  }
}
