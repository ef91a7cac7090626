/** A cluster that costs next to nothing: answers at once, whole or as a stream, paced where the body asks for it. */
import { createServer } from 'node:http'

const WHOLE = JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion', pad: 'x'.repeat(300) })
const EVENT = `data: ${JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, delta: { content: 'word' } }] })}\n\n`
const ROUTE = { 'x-isotherm-agent-route': 'agent_ms=0' }

const server = createServer((req, res) => {
  const chunks = []
  req.on('data', (chunk) => chunks.push(chunk))
  req.on('end', () => {
    // The last bytes say how to answer, so that a long body need not be parsed: "stream":N,M}
    const tail = (chunks.at(-1) ?? Buffer.alloc(0)).subarray(-40).toString()
    const [, count, gapMs] = /"bench":"(\d+),(\d+)"\}$/.exec(tail) ?? []
    if (count === undefined) {
      res.writeHead(200, { 'content-type': 'application/json', 'content-length': WHOLE.length, ...ROUTE })
      res.end(WHOLE)
      return
    }
    res.writeHead(200, { 'content-type': 'text/event-stream', ...ROUTE })
    let left = Number(count)
    const next = () => {
      left--
      if (left < 0) return res.end('data: [DONE]\n\n')
      res.write(EVENT)
      if (gapMs === '0') setImmediate(next)
      else setTimeout(next, Number(gapMs))
    }
    next()
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`)
})
