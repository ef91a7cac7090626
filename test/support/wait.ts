/** Tests wait for conditions, not for time. */
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 20

/** Polls until `condition` gives something truthy; throws what it waited for after `boundMs`. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  boundMs = 20_000,
): Promise<NonNullable<T>> {
  const giveUpMs = performance.now() + boundMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > giveUpMs) throw new Error(`waited ${boundMs} ms for ${what}`)
    await sleep(POLL_MS)
  }
}
