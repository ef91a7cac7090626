/** When a freshly started edge is ready: every regional directory holds the complete snapshot of every cluster. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { PartFailure } from './part.ts'

const READY_MS_MAX = 60_000
const POLL_MS = 100
const ASK_MS_MAX = 5000

const inspectionSchema = z.object({ streams: z.array(z.object({ state: z.string() })) })

export interface LiveWait {
  readonly origin: string
  readonly adminToken: string
  readonly regions: readonly string[]
  /** How many clusters each directory must know. */
  readonly clusters: number
  readonly isStopping: () => boolean
}

/** `PartFailure` when that takes more than a minute or the product is being stopped meanwhile. */
export async function waitUntilLive(wait: LiveWait): Promise<void> {
  const giveUpMs = performance.now() + READY_MS_MAX
  for (const region of wait.regions) {
    while ((await countLive(wait, region)) < wait.clusters) {
      if (wait.isStopping()) throw new PartFailure('stopped while the product started')
      if (performance.now() > giveUpMs) {
        throw new PartFailure(`the directory of ${region} did not hear from every cluster within a minute`)
      }
      await sleep(POLL_MS)
    }
  }
}

async function countLive({ origin, adminToken }: LiveWait, region: string): Promise<number> {
  const response = await fetch(`${origin}/admin/directory/${region}`, {
    headers: { authorization: `Bearer ${adminToken}` },
    signal: AbortSignal.timeout(ASK_MS_MAX),
  }).catch(() => null)
  if (!response?.ok) {
    await response?.body?.cancel()
    return 0
  }
  const { streams } = inspectionSchema.parse(await response.json())
  return streams.filter(({ state }) => state === 'live').length
}
