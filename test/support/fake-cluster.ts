/** A cluster without an agent: answers every API as an engine would, or goes wrong in one way. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export type FakeFault =
  | 'none'
  | 'silent'
  | 'reset before headers'
  | 'reset after headers'
  | 'reset in mid-stream'
  | 'stall in mid-stream'
  | 'slow link'
  | 'endless stream'
  | 500
  | 503
  | 429

export interface FakeCluster {
  url: string
  /** What goes wrong with the next request. */
  fault: FakeFault
  /** Requests that came in, but for probes. */
  readonly requests: { readonly path: string; readonly body: string }[]
  /** Bytes of endless streams that have left. */
  sentBytes: number
  /** Requests whose connection closed before their answer was whole. */
  abandoned: number
  stop(): Promise<void>
}

/** Pieces of an answer on a slow link. */
const SLOW_BYTES = 64
const SLOW_MS = 4
/** So that what was written has left before the connection is reset. */
const RESET_MS = 25

export async function startFakeCluster(name: string, firstFault: FakeFault = 'none'): Promise<FakeCluster> {
  const requests: { path: string; body: string }[] = []
  const cluster: FakeCluster = {
    url: '',
    fault: firstFault,
    requests,
    sentBytes: 0,
    abandoned: 0,
    stop: () => Promise.resolve(),
  }
  const server = createServer((req, res) => {
    void answer(req, res)
  })

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { fault } = cluster
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    const path = req.url ?? ''
    if (req.method === 'GET') {
      // A path that has died answers nobody.
      if (fault !== 'stall in mid-stream') res.end('{}')
      return
    }
    const body = Buffer.concat(chunks).toString()
    requests.push({ path, body })
    res.once('close', () => {
      if (!res.writableFinished) cluster.abandoned++
    })
    if (fault === 'silent') return
    if (fault === 'reset before headers') {
      req.socket.resetAndDestroy()
      return
    }
    if (typeof fault === 'number') {
      res.writeHead(fault, { 'content-type': 'application/json', 'retry-after': '1' })
      res.end(JSON.stringify({ error: { message: 'no', type: 't', param: null, code: fault } }))
      return
    }
    const { stream, wait_ms: waitMs = 0 } = JSON.parse(body) as { stream?: boolean; wait_ms?: number }
    if (waitMs > 0) await sleep(waitMs)
    const [first, rest] = stream ? eventsOf(path, name) : wholeOf(path, name)
    const type = stream ? 'text/event-stream; charset=utf-8' : 'application/json'
    const length = stream ? {} : { 'content-length': Buffer.byteLength(first + rest) }
    res.writeHead(200, { 'content-type': type, 'x-isotherm-agent-route': 'agent_ms=1', ...length })
    if (fault === 'slow link') {
      await dribble(res, first + rest)
      return
    }
    res.flushHeaders()
    if (fault === 'reset after headers') {
      await sleep(RESET_MS)
      req.socket.resetAndDestroy()
      return
    }
    res.write(first)
    if (fault === 'endless stream') {
      const chunk = `: ${'x'.repeat(16_000)}\n\n`
      while (!res.destroyed) {
        if (res.write(chunk)) cluster.sentBytes += chunk.length
        else await new Promise((resolve) => res.once('drain', resolve).once('close', resolve))
        await sleep(1)
      }
      return
    }
    if (fault === 'stall in mid-stream') return
    if (fault === 'reset in mid-stream') {
      await sleep(RESET_MS)
      req.socket.resetAndDestroy()
      return
    }
    res.end(rest)
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  cluster.url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  cluster.stop = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return cluster
}

async function dribble(res: ServerResponse, text: string): Promise<void> {
  for (let at = 0; at < text.length; at += SLOW_BYTES) {
    res.write(text.slice(at, at + SLOW_BYTES))
    await sleep(SLOW_MS)
  }
  res.end()
}

/** The first event of a stream and the rest. */
function eventsOf(path: string, name: string): readonly [string, string] {
  const event = (type: string, fields: object) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
  if (path === '/v1/messages') {
    const message = { id: 'msg_1', type: 'message', role: 'assistant', content: [], model: name }
    return [
      event('message_start', { message: { ...message, usage: { input_tokens: 1, output_tokens: 0 } } }),
      event('message_stop', {}),
    ]
  }
  if (path === '/v1/responses') {
    const response = { id: 'resp_1', object: 'response', model: name, output: [] }
    return [
      event('response.created', { response, sequence_number: 0 }),
      event('response.completed', { response, sequence_number: 1 }),
    ]
  }
  const chunk = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: name }
  const choice = { index: 0, delta: { content: 'hi' }, finish_reason: null }
  return [`data: ${JSON.stringify({ ...chunk, choices: [choice] })}\n\n`, 'data: [DONE]\n\n']
}

/** Two halves of an answer that comes whole. */
function wholeOf(path: string, name: string): readonly [string, string] {
  const text = JSON.stringify({ id: '1', object: path, model: name, pad: 'x'.repeat(500) })
  return [text.slice(0, text.length / 2), text.slice(text.length / 2)]
}
