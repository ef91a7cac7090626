/**
 * Which adapters an endpoint holds in its slots. vLLM says in `vllm:lora_requests_info` what runs and waits, not what is
 * loaded: an idle adapter keeps its slot until another needs it, least recently used first. So the names seen last, in
 * metrics or in our own requests, are the ones that are there.
 */

/** vLLM's `--max-loras` when nobody says otherwise. */
const SLOTS_DEFAULT = 1
/** Names remembered for an endpoint. */
const NAMES_MAX = 256
/** What metrics said longer ago than this is no reason to expect a wait. */
const RUNNING_AGE_MS_MAX = 5000

export interface AdapterReport {
  readonly slots: number
  readonly running: readonly string[]
}

interface Slots {
  slots: number
  /** Least recently used first. */
  readonly names: Set<string>
  running: ReadonlySet<string>
  observedMs: number
}

/** `full`: every slot is in use by others, so a request waits until one of them has ended. */
export type AdapterState = 'loaded' | 'cold' | 'full'

export class AdapterSlots {
  readonly #endpoints = new Map<number, Slots>()

  /** A request for the adapter went there. */
  use(endpoint: number, adapter: string): void {
    const { names } = this.#of(endpoint)
    names.delete(adapter)
    names.add(adapter)
    for (const name of names) {
      if (names.size <= NAMES_MAX) break
      names.delete(name)
    }
  }

  observe(endpoint: number, { slots, running }: AdapterReport, nowMs: number): void {
    const state = this.#of(endpoint)
    if (Number.isInteger(slots) && slots > 0) state.slots = slots
    state.running = new Set(running)
    state.observedMs = nowMs
    for (const name of running) this.use(endpoint, name)
  }

  /** Another process has taken its place. */
  clear(endpoint: number): void {
    this.#endpoints.delete(endpoint)
  }

  state(endpoint: number, adapter: string, nowMs: number): AdapterState {
    const state = this.#endpoints.get(endpoint)
    if (!state) return 'cold'
    let newer = 0
    let isKnown = false
    for (const name of state.names) {
      if (isKnown) newer++
      else isKnown = name === adapter
    }
    if (isKnown && newer < state.slots) return 'loaded'
    const isFresh = nowMs - state.observedMs < RUNNING_AGE_MS_MAX
    return isFresh && state.running.size >= state.slots && !state.running.has(adapter) ? 'full' : 'cold'
  }

  #of(endpoint: number): Slots {
    const known = this.#endpoints.get(endpoint)
    if (known) return known
    const made: Slots = { slots: SLOTS_DEFAULT, names: new Set(), running: new Set(), observedMs: -Infinity }
    this.#endpoints.set(endpoint, made)
    return made
  }
}
