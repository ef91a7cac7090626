/** Asks an engine where it publishes, until it says so. Engines before 0.31 never do. */
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { readEventSources, type EventAddresses } from './events/event-sources.ts'

const ANSWER_MS_MAX = 2000
const ANSWER_BYTES_MAX = 256 * 1024
const RETRY_MS = 1000
const RETRY_MS_MAX = 30_000

/** null when it was stopped before. */
export async function findEventAddresses(
  url: string,
  rank: number,
  signal: AbortSignal,
): Promise<EventAddresses | null> {
  for (let retryMs = RETRY_MS; !signal.aborted; retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)) {
    const found = readEventSources(await ask(url, signal), rank, new URL(url).hostname)
    if (found) return found
    await sleep(retryMs, undefined, { signal }).catch(() => undefined)
  }
  return null
}

async function ask(url: string, signal: AbortSignal): Promise<unknown> {
  try {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)])
    const { statusCode, body } = await request(`${url.replace(/\/$/, '')}/kv_event_sources`, {
      signal: bound,
    })
    let text = ''
    for await (const chunk of body) {
      text += String(chunk)
      if (text.length > ANSWER_BYTES_MAX) return null
    }
    return statusCode === 200 ? (JSON.parse(text) as unknown) : null
  } catch {
    return null
  }
}
