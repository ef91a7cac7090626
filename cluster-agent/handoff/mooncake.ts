/**
 * MooncakeConnector: both legs go out at once and name one transfer; decode is told which prefill engine it pulls from, by
 * that engine's bootstrap server. https://docs.vllm.ai/en/latest/features/mooncake_connector_usage.html
 */
import type { Bootstrap, Connector } from './connector.ts'
import { isObject } from './json.ts'

/** Longest id and address that are passed on. */
const TEXT_MAX = 512

export const MOONCAKE: Connector = {
  name: 'mooncake',
  decodeStarts: 'with-prefill',
  prefillParams: ({ id }) => ({ do_remote_decode: true, do_remote_prefill: false, transfer_id: id }),
  decodeParams: ({ id, bootstrap }) =>
    id === '' || !bootstrap || bootstrap.url === '' || bootstrap.engineId === ''
      ? null
      : {
          do_remote_decode: false,
          do_remote_prefill: true,
          transfer_id: id,
          remote_bootstrap_addr: bootstrap.url,
          remote_engine_id: bootstrap.engineId,
        },
}

/** The answer of `GET /query` of a bootstrap server: engine ids by data-parallel rank. null when it names none for `rank`. */
export function readBootstrap(url: string, answer: unknown, rank: number): Bootstrap | null {
  const entry = isObject(answer) ? answer[String(rank)] : null
  const engineId = isObject(entry) ? entry['engine_id'] : null
  return typeof engineId === 'string' && engineId !== '' && engineId.length <= TEXT_MAX
    ? { url, engineId }
    : null
}
