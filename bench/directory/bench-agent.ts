/** An agent's report stream as it is in production, with keys made up. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { DirectoryStream } from '../../cluster-agent/directory-stream.ts'
import type { Change } from '../../cluster-agent/report/epoch-frames.ts'
import {
  DELTA_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS,
  type ModelLoad,
  type ModelOffer,
} from '../../protocol/report.ts'
import { BENCH_MODEL, benchKey } from '../directory-keys.ts'
import { ENTRIES } from './figures.ts'

const LIVE_MS_MAX = 60_000

export class BenchAgent {
  readonly #stream: DirectoryStream
  readonly #timers: NodeJS.Timeout[]
  #waiting: Change[] = []
  #oldestMs: number | null = null
  #next = 2 * ENTRIES

  constructor(url: string, cluster: string, snapshot: readonly Change[]) {
    this.#stream = new DirectoryStream({
      name: cluster,
      url: `${url.replace('http', 'ws')}?cluster=${cluster}`,
      clusterToken: 'none',
      hello: () => ({ cluster, region: 'bench', incarnation: 1, models: [OFFER] }),
      snapshot: () => snapshot,
      outcomes: null,
      random: Math.random,
      log: pino({ level: 'silent' }),
    })
    const tick = () => this.#tick()
    const beat = () =>
      this.#stream.drive((machine, nowMs) => machine.heartbeat({ loads: [LOAD], draining: false }, nowMs))
    this.#timers = [setInterval(tick, DELTA_INTERVAL_MS), setInterval(beat, HEARTBEAT_INTERVAL_MS)]
    tick()
  }

  async live(): Promise<void> {
    const giveUpMs = performance.now() + LIVE_MS_MAX
    while (this.#stream.state !== 'live') {
      if (performance.now() > giveUpMs) throw new Error('the directory did not take the snapshot')
      await sleep(2)
    }
  }

  change(change: Change): void {
    this.#waiting.push(change)
    this.#oldestMs ??= performance.now()
  }

  churn(perS: number): void {
    const intervalMs = 5
    const each = (perS * intervalMs) / 1000
    this.#timers.push(
      setInterval(() => {
        for (const change of changes(this.#next, each)) this.change(change)
        this.#next += each
      }, intervalMs),
    )
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#stream.stop()
  }

  #tick(): void {
    const [waiting, oldestMs] = [this.#waiting, this.#oldestMs]
    this.#waiting = []
    this.#oldestMs = null
    this.#stream.drive((machine, nowMs) => {
      machine.tick(nowMs)
      machine.push(waiting, nowMs - (oldestMs ?? nowMs), nowMs)
    })
  }
}

const OFFER: ModelOffer = {
  model: BENCH_MODEL,
  bytesPerToken: 4,
  kvBytesPerToken: 262_144,
  contextTokensMax: 131_072,
  prefill: { fixedMs: 30, msPerToken: 0.06, msPerTokenPair: 2e-6 },
  tiers: { cpu: { floorMs: 1, bytesPerMs: 50e6 } },
}
const LOAD: ModelLoad = {
  model: BENCH_MODEL,
  backlogMs: 12,
  otherBacklogsMs: [15, 20, 40],
  kvPressure: 0.4,
  handoffMs: 3,
  endpoints: 4,
  bytesPerToken: 4,
}

export function changes(from: number, count: number): Change[] {
  return Array.from({ length: count }, (_, i) => {
    const [lo, hi] = benchKey(from + i)
    return { lo, hi, nibble: 1 }
  })
}
