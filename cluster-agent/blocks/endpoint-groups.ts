/** The KV groups of one endpoint: the one that is indexed, and those that gate its match. */
import type { StoredRun } from '../events/kv-event.ts'
import { BlockBits } from './block-bits.ts'
import { gateKindOf, GATES_MAX, isDense, type Gate, type GateKind } from './gates.ts'

export class EndpointGroups {
  readonly #endpoint: number
  readonly #firstLane: number
  /** The first dense group. Every group announces the same hashes. */
  indexed: number | null = null
  #gates: Gate[] = []

  /** Lanes below `lanes` are the endpoints' own. */
  constructor(endpoint: number, lanes: number) {
    this.#endpoint = endpoint
    this.#firstLane = lanes + endpoint * GATES_MAX
  }

  get gates(): readonly Gate[] {
    return this.#gates
  }

  get bytes(): number {
    return this.#gates.reduce((sum, { bits }) => sum + bits.bytes, 0)
  }

  roleOf({ group, groupKind }: StoredRun): GateKind | 'indexed' | 'ignored' {
    if (group === this.indexed) return isDense(groupKind) ? 'indexed' : 'ignored'
    if (this.indexed === null && isDense(groupKind)) {
      this.indexed = group
      return 'indexed'
    }
    // A group whose kind nobody says may be a window: to take it for dense would hide hits.
    if (groupKind === null) return this.gateOf(group)?.kind ?? 'ignored'
    return gateKindOf(groupKind) ?? 'ignored'
  }

  gateOf(group: number): Gate | null {
    for (const gate of this.#gates) if (gate.group === group) return gate
    return null
  }

  /** The gate of a group, made when it is new; null when there are too many. */
  gate(group: number, kind: GateKind, { blockTokens, windowTokens }: StoredRun): Gate | null {
    let gate = this.gateOf(group)
    if (!gate) {
      if (this.#gates.length >= GATES_MAX) return null
      const lane = this.#firstLane + this.#gates.length
      gate = {
        endpoint: this.#endpoint,
        group,
        kind,
        lane,
        bits: new BlockBits(),
        blockTokens: 0,
        windowTokens: 0,
      }
      this.#gates.push(gate)
    }
    // Placeholders say 0.
    if (blockTokens > 0) gate.blockTokens = blockTokens
    if (windowTokens !== null) gate.windowTokens = windowTokens
    return gate
  }

  /** Its lanes are empty by then. */
  forget(): void {
    this.indexed = null
    this.#gates = []
  }
}
