/** The edge on bare workerd in front of clusters that are no agents: for what only the edge decides. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import { objectsFolderOf, startEdge } from '../../cli/edge.ts'
import type { EdgeConfigInput } from '../../protocol/edge-config.ts'
import { freePort } from '../../cli/free-port.ts'

export interface LoneEdge {
  readonly origin: string
  stop(): Promise<void>
}

export interface LoneEdgeOptions {
  readonly config: EdgeConfigInput
  /** Directory and ledgers are objects that do not know what they are asked. */
  readonly hasBrokenObjects?: boolean
}

export async function startLoneEdge({ config, hasBrokenObjects }: LoneEdgeOptions): Promise<LoneEdge> {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-edge-'))
  const port = await freePort()
  const bundle = inject('bundle')
  // Another test may have had the port.
  await rm(objectsFolderOf(bundle, port), { recursive: true, force: true })
  const [first, second, ...others] = bundle.durableObjects
  const swapped =
    first && second
      ? [{ ...first, className: second.className }, { ...second, className: first.className }, ...others]
      : []
  const part = await startEdge({
    bundle: hasBrokenObjects ? { ...bundle, durableObjects: swapped } : bundle,
    port,
    text: {
      ISOTHERM_CONFIG: JSON.stringify(config),
      ENVELOPE_SECRET: 'envelope-secret-of-the-tests',
      PREFIX_SECRET: 'prefix-secret-of-the-tests',
      CLUSTER_TOKENS: '{}',
      ADMIN_TOKEN: 'admin-token',
    },
    logFile: join(folder, 'edge.log'),
  })
  return {
    origin: `http://127.0.0.1:${port}`,
    stop: async () => {
      await part.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
