/** The address for metrics and debug routes alone. */
import { createServer, type Server } from 'node:http'
import type { Logger } from 'pino'
import type { Inspection } from './inspection.ts'

/** Scrapes and people; nobody else. */
const CONNECTIONS_MAX = 64

export function createAdminServer(inspection: Inspection, log: Logger): Server {
  const server = createServer((req, res) => {
    const send = (status: number, contentType: string, body: string) =>
      res.writeHead(status, { 'content-type': contentType }).end(body)
    const answer = req.method === 'GET' ? inspection.answer(req.url ?? '/', undefined, true) : null
    if (!answer) {
      send(404, 'text/plain', 'not found\n')
      return
    }
    answer.then(
      ({ status, contentType, body }) => send(status, contentType, body),
      (error: unknown) => {
        log.error({ err: error, path: req.url }, 'inspection failed')
        send(500, 'text/plain', 'failed\n')
      },
    )
  })
  server.maxConnections = CONNECTIONS_MAX
  return server
}
