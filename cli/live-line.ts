/** One line of the terminal that says what happens now, from the directories' own view. Silent without a terminal. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { LOCAL_REGIONS } from './local/topology.ts'
import type { Product } from './product.ts'

const INTERVAL_MS = 1000

const inspectionSchema = z.object({
  streams: z.array(
    z.object({
      cluster: z.string(),
      state: z.string(),
      entries: z.number(),
      loads: z.array(z.object({ backlogMs: z.number(), kvPressure: z.number() })),
    }),
  ),
})

export class LiveLine {
  readonly #out: NodeJS.WriteStream

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  /** Redraws until `signal` aborts. */
  async run(product: Product, signal: AbortSignal): Promise<void> {
    const origin = new URL(product.baseUrl).origin
    while (!signal.aborted) {
      if (this.#out.isTTY) this.#draw(await this.#look(origin, product.adminToken))
      await sleep(INTERVAL_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  clear(): void {
    if (this.#out.isTTY) this.#out.write('\r\u001B[2K')
  }

  #draw(text: string): void {
    this.#out.write(`\r\u001B[2K${text.slice(0, (this.#out.columns ?? 80) - 1)}`)
  }

  async #look(origin: string, adminToken: string): Promise<string> {
    const home = LOCAL_REGIONS[0]?.region ?? ''
    try {
      const response = await fetch(`${origin}/admin/directory/${home}`, {
        headers: { authorization: `Bearer ${adminToken}` },
        signal: AbortSignal.timeout(INTERVAL_MS),
      })
      const { streams } = inspectionSchema.parse(await response.json())
      return streams
        .map(({ cluster, state, entries, loads: [load] }) => {
          if (state !== 'live') return `${cluster} ${state}`
          return `${cluster} ${entries} prefixes, queue ${Math.round(load?.backlogMs ?? 0)} ms, KV ${Math.round((load?.kvPressure ?? 0) * 100)} %`
        })
        .join(' | ')
    } catch {
      return 'the edge does not answer'
    }
  }
}
