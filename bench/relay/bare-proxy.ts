/** A Node proxy that knows nothing: `node:http` on both sides, bodies piped, connections kept. */
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { argumentOf, sayReady } from './process.ts'

const { url } = argumentOf() as { url: string }
const { hostname, port } = new URL(url)
const agent = new Agent({ keepAlive: true, maxSockets: 1024 })

const server = createServer((req, res) => {
  const { host: _, connection: __, ...headers } = req.headers
  const upstream = request(
    { hostname, port, path: req.url, method: req.method, headers, agent },
    (answer) => {
      const { connection: ___, 'keep-alive': ____, ...kept } = answer.headers
      res.writeHead(answer.statusCode ?? 502, kept)
      answer.pipe(res)
    },
  )
  upstream.on('error', () => res.destroy())
  req.pipe(upstream)
})
server.listen(0, '127.0.0.1', () =>
  sayReady({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }),
)
