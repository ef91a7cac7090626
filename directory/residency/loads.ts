/** What one cluster offers and how busy it is, by model, as its agent last said. */
import type { Heartbeat, Hello, ModelLoad, ModelOffer } from '../../protocol/report.ts'

export class ClusterLoads {
  #offers: ReadonlyMap<string, ModelOffer> = new Map()
  #loads: ReadonlyMap<string, ModelLoad> = new Map()
  #draining = false

  /** A new stream begins: its offers replace the old ones, its load is not known yet. */
  takeHello(hello: Hello): void {
    this.#offers = new Map(hello.models.map((offer) => [offer.model, offer]))
    this.#loads = new Map()
    this.#draining = false
  }

  takeHeartbeat(heartbeat: Heartbeat): void {
    this.#loads = new Map(heartbeat.loads.map((load) => [load.model, load]))
    this.#draining = heartbeat.draining
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
