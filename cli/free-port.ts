/**
 * Ports for those who must name one before they listen on it. They lie below the range out of which the system gives ports to
 * everybody else, so that nobody gets one in between; each process takes them from another place on.
 */
import { createServer } from 'node:net'

/** Linux gives out 32768 and up. */
const FIRST = 20_000
const LAST = 31_999
/** Far apart for processes that start one after another. */
const STRIDE = 397
const TRIES_MAX = 200

let next = FIRST + ((process.pid * STRIDE) % (LAST - FIRST))

/** Rejects when many in a row are taken. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = next
    next = next < LAST ? next + 1 : FIRST
    if (await isFree(port)) return port
  }
  throw new Error(`no free port among ${TRIES_MAX} below ${next}`)
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
