/**
 * The part of a Kubernetes API server that informers speak: list and watch with resource versions, bookmarks, `410 Gone`
 * and dropped connections. Objects are whatever a test puts there.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface KubeObject {
  readonly metadata: { readonly name: string; readonly labels?: Record<string, string> } & Record<
    string,
    unknown
  >
}

interface Watcher {
  readonly collection: string
  readonly matches: (object: KubeObject) => boolean
  readonly response: ServerResponse
}

export interface KubeApi {
  readonly url: string
  /** Requests so far, as `list PATH` and `watch PATH`. */
  readonly requests: readonly string[]
  put(collection: string, object: KubeObject): void
  remove(collection: string, name: string): void
  /** Ends all watches, as a restart of the API server does. */
  dropWatches(): void
  /** Answers every new watch with 410 once: the version that it asks for is forgotten. */
  forgetVersions(): void
  /** Answers everything with 500. */
  setBroken(isBroken: boolean): void
  kubeconfig(): string
  stop(): Promise<void>
}

export async function startKubeApi(): Promise<KubeApi> {
  const stored = new Map<string, Map<string, KubeObject>>()
  const watchers = new Set<Watcher>()
  const requests: string[] = []
  const history: { collection: string; type: string; object: KubeObject; version: number }[] = []
  let version = 100
  let oldest = 0
  let isBroken = false

  const of = (collection: string) => {
    const known = stored.get(collection) ?? new Map<string, KubeObject>()
    stored.set(collection, known)
    return known
  }
  const announce = (collection: string, type: string, object: KubeObject) => {
    history.push({ collection, type, object, version })
    for (const watcher of watchers)
      if (watcher.collection === collection && watcher.matches(object))
        watcher.response.write(`${JSON.stringify({ type, object })}\n`)
  }
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://kube')
    const isWatch = url.searchParams.get('watch') === 'true'
    requests.push(`${isWatch ? 'watch' : 'list'} ${url.pathname}`)
    if (isBroken) {
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"kind":"Status","code":500}')
      return
    }
    const matches = matcher(url)
    response.setHeader('content-type', 'application/json')
    if (!isWatch) {
      const items = [...of(url.pathname).values()].filter(matches)
      response.end(
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'List',
          metadata: { resourceVersion: String(version) },
          items,
        }),
      )
      return
    }
    const from = Number(url.searchParams.get('resourceVersion'))
    if (from < oldest) {
      response.end(
        `${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } })}\n`,
      )
      return
    }
    const watcher = { collection: url.pathname, matches, response }
    watchers.add(watcher)
    response.on('close', () => watchers.delete(watcher))
    response.writeHead(200).flushHeaders()
    for (const { collection, type, object, version: at } of history)
      if (at > from && collection === url.pathname && matches(object))
        response.write(`${JSON.stringify({ type, object })}\n`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    requests,
    put(collection, object) {
      version++
      const type = of(collection).has(object.metadata.name) ? 'MODIFIED' : 'ADDED'
      const kept = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } }
      of(collection).set(object.metadata.name, kept)
      announce(collection, type, kept)
    },
    remove(collection, name) {
      const object = of(collection).get(name)
      if (!object) return
      version++
      of(collection).delete(name)
      announce(collection, 'DELETED', {
        ...object,
        metadata: { ...object.metadata, resourceVersion: String(version) },
      })
    },
    dropWatches() {
      for (const { response } of watchers) response.destroy()
    },
    forgetVersions() {
      version += 100
      oldest = version
    },
    setBroken(value) {
      isBroken = value
    },
    kubeconfig: () =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
        clusters: [{ name: 'test', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'test', user: { token: 'rig' } }],
      }),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Selectors that the sources use: `a=b,c=d`, `a in (b,c)` and `metadata.name=x`. */
function matcher(url: URL): (object: KubeObject) => boolean {
  const label = url.searchParams.get('labelSelector')
  const field = url.searchParams.get('fieldSelector')
  return ({ metadata }) => {
    if (field && field !== `metadata.name=${metadata.name}`) return false
    if (!label) return true
    const set = /^(\S+) in \((.*)\)$/.exec(label)
    if (set) return (set[2] ?? '').split(',').includes(metadata.labels?.[set[1] ?? ''] ?? '')
    return label.split(',').every((pair) => {
      const [name = '', value] = pair.split('=')
      return metadata.labels?.[name] === value
    })
  }
}
