/**
 * A peer whose CPU tier a prefill may load from (vLLM's OffloadingConnector with a P2P tier): what it lacks it recomputes,
 * so the source may be wrong without the answer being so. The peer needs equal block hashes, hence the same version.
 */
import type { JsonObject } from './json.ts'

export interface KvSource {
  readonly host: string
  readonly port: number
}

/** `id` names the pull; never used before. */
export function kvSourceParams({ host, port }: KvSource, id: string): JsonObject {
  return { remote_kv_source: { kv_request_id: id, remote_host: host, remote_port: port } }
}

/** `host:port` of a configuration. */
export function parseKvSource(text: string): KvSource | null {
  const cut = text.lastIndexOf(':')
  const host = text.slice(0, cut)
  const port = Number(text.slice(cut + 1))
  return cut > 0 && Number.isInteger(port) && port > 0 && port <= 65_535 ? { host, port } : null
}
