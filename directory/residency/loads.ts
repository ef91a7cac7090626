/** What one cluster offers and how busy it is, by model, as its agent last said. */
import type { Heartbeat, Hello, ModelLoad, ModelOffer } from '../../protocol/report.ts'

export class ClusterLoads {
  #offers: ReadonlyMap<string, ModelOffer> = new Map()
  #loads: ReadonlyMap<string, ModelLoad> = new Map()
  #draining = false
  #heardMs = 0

  /** A new stream begins: its offers replace the old ones, its load is not known yet. */
  takeHello(hello: Hello): void {
    this.#offers = new Map(hello.models.map((offer) => [offer.model, offer]))
    this.#loads = new Map()
    this.#draining = false
  }

  takeHeartbeat(heartbeat: Heartbeat, nowMs: number): void {
    this.#heardMs = nowMs
    this.#loads = new Map(heartbeat.loads.map((load) => [load.model, load]))
    this.#draining = heartbeat.draining
  }

  /** Frames of residency say nothing of load: its age is that of the last heartbeat. */
  ageMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#heardMs)
  }

  get draining(): boolean {
    return this.#draining
  }

  /** null when the cluster does not serve the model. */
  offer(model: string): ModelOffer | null {
    return this.#offers.get(model) ?? null
  }

  load(model: string): ModelLoad | null {
    return this.#loads.get(model) ?? null
  }

  offers(): readonly ModelOffer[] {
    return [...this.#offers.values()]
  }

  loads(): readonly ModelLoad[] {
    return [...this.#loads.values()]
  }
}
