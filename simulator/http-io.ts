/** Small pieces of node:http that the engine's servers share. */
import type { IncomingMessage, Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** A body that is longer than its bound. */
export class BodyTooLarge extends Error {}

/** The whole body as text; rejects over the bound, and when the client leaves before its end. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    const buffer = chunk as Buffer
    bytes += buffer.length
    if (bytes > bytesMax) throw new BodyTooLarge()
    chunks.push(buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const LISTEN_MS_MAX = 1000
const LISTEN_RETRY_MS = 50

/** Listens, or says which port is taken. Tries for a while: a killed predecessor may still be going. */
export async function listen(server: Server, host: string, port: number): Promise<void> {
  const endMs = performance.now() + LISTEN_MS_MAX
  for (;;) {
    const error = await tryListen(server, host, port)
    if (error === null) return
    if (error.code !== 'EADDRINUSE') throw error
    if (performance.now() >= endMs) {
      throw new Error(`cannot listen on ${host}:${port}: the port is in use`, { cause: error })
    }
    await sleep(LISTEN_RETRY_MS)
  }
}

function tryListen(server: Server, host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const onError = (error: NodeJS.ErrnoException) => {
      server.off('listening', onListening)
      resolve(error)
    }
    const onListening = () => {
      server.off('error', onError)
      resolve(null)
    }
    server.once('error', onError).once('listening', onListening)
    server.listen(port, host)
  })
}
