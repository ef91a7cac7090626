/** What one cluster offers and how busy it is, by model, as its agent last said. */
import type { Heartbeat, Hello, ModelLoad, ModelOffer } from '../../protocol/report.ts'

export class ClusterLoads {
  #offers: ReadonlyMap<string, ModelOffer> = new Map()
  #loads: ReadonlyMap<string, ModelLoad> = new Map()
  #draining = false
  #heardMs = 0
  #beat = 0
  #rttMs = 0
  #text = ''
  #revision = 0

  /** Another one after each change of what is offered or how loaded that is. */
  get revision(): number {
    return this.#revision
  }

  /** A new stream begins: its offers replace the old ones, its load is not known yet. */
  takeHello(hello: Hello): void {
    this.#offers = new Map(hello.models.map((offer) => [offer.model, offer]))
    this.#loads = new Map()
    this.#draining = false
    this.#beat = 0
    this.#text = ''
    this.#revision++
  }

  /** False for a heartbeat that a later one has overtaken: it changes nothing. */
  takeHeartbeat(heartbeat: Heartbeat, nowMs: number): boolean {
    const { beat = this.#beat + 1, loads, draining, rttMs = 0 } = heartbeat
    if (beat <= this.#beat) return false
    this.#beat = beat
    this.#heardMs = nowMs
    this.#rttMs = rttMs
    // A cluster at rest says the same again and again.
    const text = JSON.stringify([draining, loads])
    if (text === this.#text) return true
    this.#text = text
    this.#revision++
    this.#loads = new Map(loads.map((load) => [load.model, load]))
    this.#draining = draining
    return true
  }

  /** Frames of residency say nothing of load: its age is that of the last heartbeat. */
  ageMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#heardMs)
  }

  get heardMs(): number {
    return this.#heardMs
  }

  /** How long a message of the agent is under way, as far as it has measured. */
  get transitMs(): number {
    return this.#rttMs / 2
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
