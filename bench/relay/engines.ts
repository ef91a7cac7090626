/**
 * Engines that cost next to nothing: they announce the blocks of every conversation, a quarter each, and answer any request
 * with the same bytes. A stream is eleven writes.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Scopes } from '../../cluster-agent/scope.ts'
import { KvPublisher, NO_EVENT_FAULTS } from '../../simulator/kv-publisher.ts'
import { renderChat } from '../../simulator/model/chat-template.ts'
import { encode } from '../../simulator/model/encode.ts'
import { conversations, RELAY_MODEL } from './bodies.ts'
import { argumentOf, sayReady } from './process.ts'

const BLOCK_TOKENS = 16
const STREAM_WRITES = 11

const { engines, prefixSecret, shareScope } = argumentOf() as {
  engines: number
  prefixSecret: string
  shareScope: string
}
const { cacheSalt } = new Scopes(prefixSecret).keysOf(shareScope)

const usage = {
  prompt_tokens: 4900,
  total_tokens: 4964,
  completion_tokens: 64,
  prompt_tokens_details: { cached_tokens: 4896 },
}
const head = { id: 'chatcmpl-bench', created: 1, model: RELAY_MODEL }
const text = 'bada dedo gigo haha lelo mimo nana popo '.repeat(8)
const PLAIN = answer(
  'application/json',
  JSON.stringify({
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage,
  }),
)
const delta = (fields: object, finish: string | null) =>
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta: fields, logprobs: null, finish_reason: finish }] })}\n\n`
const EVENTS = [
  delta({ role: 'assistant', content: '' }, null),
  ...Array.from({ length: STREAM_WRITES - 3 }, () => delta({ content: text.slice(0, 40) }, null)),
  delta({ content: ' end' }, 'stop'),
  `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\ndata: [DONE]\n\n`,
]
const STREAM_HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n'

const publishers = await Promise.all(
  Array.from({ length: engines }, () =>
    KvPublisher.start({ host: '127.0.0.1', eventsPort: 0, replayPort: 0, topic: '', version: '0.32.0' }),
  ),
)
let hash = 1n
for (const [i, messages] of conversations().entries()) {
  const all = encode(renderChat(messages, null, true))
  const blocks = Math.floor(all.length / BLOCK_TOKENS)
  publishers[i % engines]?.publish(
    [
      {
        kind: 'stored',
        hashes: Array.from({ length: blocks }, () => hash++),
        parent: null,
        tokens: all.slice(0, blocks * BLOCK_TOKENS),
        blockTokens: BLOCK_TOKENS,
        salt: cacheSalt,
        sessionId: null,
      },
    ],
    NO_EVENT_FAULTS,
  )
}
const urls = await Promise.all(publishers.map(listen))
sayReady({
  engines: publishers.map(({ eventsEndpoint, replayEndpoint }, i) => ({
    url: urls[i],
    events: eventsEndpoint,
    replay: replayEndpoint,
  })),
})

function listen(): Promise<string> {
  const server = createServer((socket) => {
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    serve(socket)
  })
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    ),
  )
}

function serve(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0)
  socket.on('data', (data) => {
    pending = pending.length === 0 ? data : Buffer.concat([pending, data])
    for (;;) {
      const end = pending.indexOf('\r\n\r\n')
      if (end < 0) return
      const headers = pending.subarray(0, end).toString('latin1')
      const length = bodyLength(headers, pending.subarray(end + 4))
      if (length === null) return
      const body = pending.subarray(end + 4, end + 4 + length)
      pending = pending.subarray(end + 4 + length)
      reply(socket, headers, body)
    }
  })
}

/** null while the body is not whole. */
function bodyLength(headers: string, rest: Buffer): number | null {
  const length = Number(/content-length: *(\d+)/i.exec(headers)?.[1] ?? 0)
  if (!/transfer-encoding: *chunked/i.test(headers)) return rest.length >= length ? length : null
  const end = rest.indexOf('0\r\n\r\n')
  return end < 0 ? null : end + 5
}

function reply(socket: Socket, headers: string, body: Buffer): void {
  if (headers.startsWith('GET /metrics'))
    return void socket.write(answer('text/plain', `vllm:cache_config_info{block_size="${BLOCK_TOKENS}"} 1\n`))
  if (headers.startsWith('GET /v1/models'))
    return void socket.write(
      answer(
        'application/json',
        JSON.stringify({ object: 'list', data: [{ id: RELAY_MODEL, object: 'model' }] }),
      ),
    )
  if (headers.startsWith('GET')) return void socket.write(answer('application/json', '{}'))
  if (!headers.startsWith('POST /v1/chat/completions'))
    return void socket.write(answer('application/json', '{}', 404))
  // Within the first bytes: the generator writes the field before the messages.
  if (body.subarray(0, 200).includes('"stream":true') || body.subarray(-300).includes('"stream":true'))
    void stream(socket)
  else socket.write(PLAIN)
}

async function stream(socket: Socket): Promise<void> {
  socket.write(STREAM_HEAD)
  for (const event of EVENTS) {
    socket.write(`${Buffer.byteLength(event).toString(16)}\r\n${event}\r\n`)
    await new Promise((resolve) => setImmediate(resolve))
  }
  socket.write('0\r\n\r\n')
}

function answer(type: string, body: string, status = 200): string {
  return `HTTP/1.1 ${status} OK\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}
