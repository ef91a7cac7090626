/**
 * How KV moves from a prefill to a decode engine, as far as the two HTTP bodies must say it. One file for each of vLLM's
 * connectors; `test/cluster-agent/handoff/connector.test.ts` holds all of them to what is promised here.
 */
import { isObject, type JsonObject } from './json.ts'
import { MOONCAKE } from './mooncake.ts'
import { NIXL } from './nixl.ts'

export type ConnectorName = 'nixl' | 'mooncake'

/** One transfer: of one attempt, for one sequence. */
export interface Transfer {
  /** Never used before: names the transfer on both legs. */
  readonly id: string
  /** Where decode finds prefill; null where a connector learns that from the prefill leg's answer. */
  readonly bootstrap: Bootstrap | null
}

export interface Bootstrap {
  readonly url: string
  readonly engineId: string
}

export interface Connector {
  readonly name: ConnectorName
  /** Whether the decode leg waits for the prefill leg's answer, or both go out at once. */
  readonly decodeStarts: 'after-prefill' | 'with-prefill'
  /** `kv_transfer_params` of the prefill leg. */
  prefillParams(transfer: Transfer): JsonObject
  /**
   * `kv_transfer_params` of the decode leg, good for one use. null when anything is missing or out of range: a decode
   * engine hangs and dies on half of them, so it prefills itself instead. `answer` is the prefill leg's, or null.
   */
  decodeParams(transfer: Transfer, answer: unknown): JsonObject | null
}

export function connectorOf(name: ConnectorName): Connector {
  return name === 'mooncake' ? MOONCAKE : NIXL
}

/**
 * What the prefill leg had cached, as its `usage.prompt_tokens_details` says it. A decode engine counts what it pulled as
 * cached, so this is what the client is told (vLLM from 0.31 takes it from the params by itself).
 */
export function prefillDetails(answer: unknown): unknown {
  const usage = isObject(answer) ? answer['usage'] : null
  return isObject(usage) ? (usage['prompt_tokens_details'] ?? null) : null
}
