/**
 * One kind of Kubernetes object, kept by an informer: listed, then watched, and listed again when the API server has
 * forgotten where the watch was. While the API server is away the last known objects stay.
 */
import type { KubeConfig, KubernetesListObject, KubernetesObject } from '@kubernetes/client-node'
import type { Logger } from 'pino'
import type { z } from 'zod'

export interface WatchQuery<T> {
  /** `/api/v1/namespaces/x/pods`. */
  readonly path: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** The same objects, by the library's client. */
  readonly list: () => Promise<KubernetesListObject<KubernetesObject>>
  readonly schema: z.ZodType<T>
}

export interface KubeWatch<T> {
  /** What is known now; null before the first list. Objects that do not fit the schema are left out. */
  objects(): readonly T[] | null
  stop(): Promise<void>
}

const BACKOFF_MS = 500
const BACKOFF_MS_MAX = 30_000

type ClientNode = typeof import('@kubernetes/client-node')

/** `onChange` is called after each change, many at once at the beginning. */
export function watchObjects<T>(
  { ListWatch, Watch }: ClientNode,
  config: KubeConfig,
  { path, labelSelector, fieldSelector, list, schema }: WatchQuery<T>,
  onChange: () => void,
  log: Logger,
): KubeWatch<T> {
  let isListed = false
  let isStopped = false
  let failures = 0
  let timer: NodeJS.Timeout | undefined

  const listOnce = async () => {
    const answer = await list()
    isListed = true
    failures = 0
    // Also when there is nothing: the first answer is awaited.
    queueMicrotask(onChange)
    return answer
  }
  const informer = new ListWatch<KubernetesObject>(
    path,
    new Watch(config),
    listOnce,
    false,
    labelSelector,
    fieldSelector,
  )
  informer.on('change', onChange)
  // The library stops at the first error; it goes on from where it was, or from a new list when that is gone.
  informer.on('error', (error: unknown) => {
    if (isStopped) return
    const delayMs = Math.min(BACKOFF_MS * 2 ** failures++, BACKOFF_MS_MAX)
    log.warn({ path, delayMs, error: describe(error) }, 'Kubernetes: a watch ended and is begun again')
    clearTimeout(timer)
    timer = setTimeout(() => void informer.start(), delayMs)
  })
  void informer.start()
  return {
    objects: () =>
      isListed
        ? informer.list().flatMap((object) => {
            const parsed = schema.safeParse(object)
            return parsed.success ? [parsed.data] : []
          })
        : null,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await informer.stop()
    },
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
