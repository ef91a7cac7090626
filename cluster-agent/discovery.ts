/** All sources of endpoints together: what the configuration names, and what files and Kubernetes say now. */
import type { Logger } from 'pino'
import type { AgentConfig } from './config.ts'
import type { EndpointSpec } from './discovery/endpoint-spec.ts'
import type { EndpointSource } from './discovery/source.ts'
import { EndpointsFileSource } from './endpoints-file-source.ts'
import { KubernetesSource } from './kubernetes-source.ts'

export class Discovery {
  readonly #fixed: readonly EndpointSpec[]
  readonly #sources: readonly EndpointSource[]
  readonly #found: (readonly EndpointSpec[])[]

  constructor({ endpoints, discovery }: AgentConfig, log: Logger) {
    this.#fixed = endpoints
    this.#sources = [
      ...(discovery?.file === undefined ? [] : [new EndpointsFileSource(discovery.file, log)]),
      ...(discovery?.kubernetes === undefined ? [] : [new KubernetesSource(discovery.kubernetes, log)]),
    ]
    this.#found = this.#sources.map(() => [])
  }

  /** Rejects when a source cannot be used at all; one that is away for a while is waited for later. */
  async start(onEndpoints: (specs: readonly EndpointSpec[]) => void): Promise<void> {
    for (const [at, source] of this.#sources.entries()) {
      await source.start((specs) => {
        this.#found[at] = specs
        onEndpoints([...this.#fixed, ...this.#found.flat()])
      })
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.stop()))
  }
}
