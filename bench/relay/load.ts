/** Closed-loop load: each connection sends its next request when it has its answer. Answers are counted, not parsed. */
import { connect, type Socket } from 'node:net'
import { conversations, relayBody } from './bodies.ts'
import { argumentOf, sayReady } from './process.ts'

export interface LoadResult {
  readonly requests: number
  readonly errors: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Answers that say that a prefix was matched. */
  readonly matched: number
}

const { url, connections, seconds, isStream } = argumentOf() as {
  url: string
  connections: number
  seconds: number
  isStream: boolean
}
const { hostname, port } = new URL(url)
const requests = conversations().map((messages) => {
  const body = relayBody(messages, isStream)
  return Buffer.from(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
})
const samples: number[] = []
let errors = 0
let matched = 0
let next = 0
const startMs = performance.now()
const endMs = startMs + seconds * 1000
await Promise.all(Array.from({ length: connections }, run))
samples.sort((a, b) => a - b)
const at = (share: number) => samples[Math.min(Math.floor(samples.length * share), samples.length - 1)] ?? 0
sayReady({
  requests: samples.length,
  errors,
  seconds: (performance.now() - startMs) / 1000,
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  matched,
} satisfies LoadResult)
process.disconnect?.()

function run(): Promise<void> {
  return new Promise((resolve) => {
    const socket: Socket = connect(Number(port), hostname)
    socket.setNoDelay(true)
    let text = ''
    let sentMs = 0
    const send = () => {
      if (performance.now() >= endMs) {
        socket.destroy()
        resolve()
        return
      }
      text = ''
      sentMs = performance.now()
      socket.write(requests[next++ % requests.length] ?? '')
    }
    socket.on('connect', send)
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (!isWhole(text)) return
      samples.push(performance.now() - sentMs)
      if (!text.startsWith('HTTP/1.1 200')) errors++
      else if (/matched_tokens=[1-9]/.test(text)) matched++
      send()
    })
    socket.on('error', () => {
      errors++
      resolve()
    })
    socket.on('close', () => resolve())
  })
}

function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return false
  const length = /content-length: *(\d+)/i.exec(text.slice(0, end))?.[1]
  return length === undefined ? text.endsWith('0\r\n\r\n') : text.length >= end + 4 + Number(length)
}
