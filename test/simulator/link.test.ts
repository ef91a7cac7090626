import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startLink, type RunningLink } from '../../simulator/link.ts'
import { until } from '../support/wait.ts'

let echo: Server
let link: RunningLink
const sockets = new Set<Socket>()

beforeEach(async () => {
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
})

afterEach(async () => {
  await link.stop()
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => echo.close(resolve))
})

async function start(rttMs: number): Promise<void> {
  const { port } = echo.address() as AddressInfo
  link = await startLink({ port: 0, target: { host: '127.0.0.1', port }, rttMs })
}

interface Client {
  readonly socket: Socket
  readonly received: Buffer[]
  /** `end` after a proper end, the error's code after a reset. */
  ended: string | null
}

function dial(): Client {
  const socket = connect(link.port, '127.0.0.1')
  const client: Client = { socket, received: [], ended: null }
  socket.on('data', (chunk: Buffer) => client.received.push(chunk))
  socket.on('end', () => (client.ended ??= 'end'))
  socket.on('error', (error: NodeJS.ErrnoException) => (client.ended ??= error.code ?? 'error'))
  socket.on('close', () => (client.ended ??= 'close'))
  return client
}

const text = ({ received }: Client): string => Buffer.concat(received).toString()

test('every byte arrives, in order, whatever the size, and the end after it', async () => {
  await start(20)
  const client = dial()
  const sent = randomBytes(16 << 20)
  client.socket.end(sent)
  await until('everything came back', () => client.ended === 'end', 30_000)
  expect(Buffer.concat(client.received).equals(sent)).toBe(true)
})

test('the first answer takes two round trips at least, later ones one', async () => {
  await start(100)
  const client = dial()
  const startMs = performance.now()
  client.socket.write('a')
  await until('the first echo', () => text(client) === 'a')
  const firstMs = performance.now() - startMs
  client.socket.write('b')
  const secondStartMs = performance.now()
  await until('the second echo', () => text(client) === 'ab')
  // Lower bounds only: a busy machine can be late, never early. Timers may be a millisecond early.
  expect(firstMs).toBeGreaterThan(198)
  expect(performance.now() - secondStartMs).toBeGreaterThan(98)
  link.setRttMs(0)
  client.socket.write('c')
  await until('the third echo', () => text(client) === 'abc')
})

test('a refusing link resets new connections and keeps the old', async () => {
  await start(0)
  const old = dial()
  old.socket.write('a')
  await until('it is open', () => text(old) === 'a')
  link.set('refuse')
  const fresh = dial()
  await until('it is reset', () => fresh.ended !== null)
  expect(fresh.received).toEqual([])
  old.socket.write('b')
  await until('the old one lives', () => text(old) === 'ab')
  link.set('open')
  const later = dial()
  later.socket.write('c')
  await until('it is open again', () => text(later) === 'c')
})

test('a stalled link accepts and delivers nothing until it opens', async () => {
  await start(0)
  link.set('stall')
  const client = dial()
  client.socket.write('a')
  await until('it is accepted', () => sockets.size === 1)
  const other = dial()
  await until('others are accepted too', () => other.socket.readyState === 'open')
  expect([client.received, client.ended]).toEqual([[], null])
  link.set('open')
  await until('what was held comes', () => text(client) === 'a')
})

test('a dropping link resets what lives, on both sides, and what comes', async () => {
  await start(0)
  const client = dial()
  client.socket.write('a')
  await until('it is open', () => text(client) === 'a')
  link.set('drop')
  await until('the client notices', () => client.ended === 'ECONNRESET')
  await until('the server notices', () => sockets.size === 0)
  const fresh = dial()
  await until('new ones are reset', () => fresh.ended !== null)
  expect(fresh.received).toEqual([])
})

test('a client that leaves is noticed behind the link, and a server that leaves before it', async () => {
  await start(2)
  const client = dial()
  client.socket.write('a')
  await until('it is open', () => text(client) === 'a')
  client.socket.destroy()
  await until('the server sees it', () => sockets.size === 0)
  const second = dial()
  second.socket.write('b')
  await until('it is open', () => text(second) === 'b')
  for (const socket of sockets) socket.destroy()
  await until('the client sees it', () => second.ended !== null)
})

test('a port in use is named', async () => {
  await start(0)
  await expect(
    startLink({ port: link.port, target: { host: '127.0.0.1', port: 1 }, rttMs: 0 }),
  ).rejects.toThrow(`127.0.0.1:${link.port}: the port is in use`)
})

test('a target that refuses ends the connection', async () => {
  await start(0)
  const { port } = echo.address() as AddressInfo
  await new Promise((resolve) => echo.close(resolve))
  const client = dial()
  await until('it ends', () => client.ended !== null)
  expect(client.received).toEqual([])
  await new Promise<void>((resolve) => echo.listen(port, '127.0.0.1', resolve))
})
