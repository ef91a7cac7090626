/** Where an engine publishes, as it says itself: `GET /kv_event_sources` of vLLM from 0.31 on. */

export interface EventAddresses {
  readonly events: string
  readonly replay?: string
}

/** The addresses of one rank as seen from here; null when the engine publishes nothing for it. */
export function readEventSources(body: unknown, rank: number, host: string): EventAddresses | null {
  if (typeof body !== 'object' || body === null) return null
  const source: unknown = (body as Record<string, unknown>)[String(rank)]
  if (typeof source !== 'object' || source === null) return null
  const {
    enable_kv_cache_events: isOn,
    publisher,
    endpoint,
    replay_endpoint,
  } = source as Record<string, unknown>
  const events = addressOf(endpoint, host)
  const replay = addressOf(replay_endpoint, host)
  if (isOn !== true || publisher !== 'zmq' || events === null) return null
  return { events, ...(replay === null ? {} : { replay }) }
}

/** An engine binds to all of its addresses; we dial the one that we know it by. */
function addressOf(value: unknown, host: string): string | null {
  const found = typeof value === 'string' ? /^tcp:\/\/(.+):(\d{1,5})$/.exec(value) : null
  const name = found?.[1]
  if (!found || name === undefined) return null
  return `tcp://${['*', '0.0.0.0', '[::]', '::'].includes(name) ? host : name}:${found[2]}`
}
