import { expect, test } from 'vitest'
import type { Change } from '../../../cluster-agent/report/epoch-frames.ts'
import { OutcomeQueue } from '../../../cluster-agent/report/outcome-queue.ts'
import { PROGRESS_MS_MAX, ReportStream } from '../../../cluster-agent/report/report-stream.ts'
import type { Command } from '../../../cluster-agent/report/stream-input.ts'
import { RegionalDirectory } from '../../../directory/residency/regional-directory.ts'
import type { DirectoryMessage } from '../../../protocol/report.ts'

/** The agent's machine against the directory's, message by message; and against a directory of version 1. */
const CLUSTER = 'us-east-1'
const KEYS: readonly Change[] = [
  { lo: 1, hi: 1, nibble: 1 },
  { lo: 2, hi: 2, nibble: 10 },
]

interface Peer {
  text(text: string, nowMs: number): { messages: DirectoryMessage[]; closes: boolean }
  frame(bytes: Uint8Array, nowMs: number): { messages: DirectoryMessage[]; closes: boolean }
}

function peerOf(directory: RegionalDirectory): Peer {
  const read = (effects: ReturnType<RegionalDirectory['receiveText']>) => ({
    messages: effects.flatMap((effect) => (effect.kind === 'send' ? [effect.message] : [])),
    closes: effects.some((effect) => effect.kind === 'send' && effect.closes),
  })
  return {
    text: (text, nowMs) => read(directory.receiveText('a', CLUSTER, text, nowMs)),
    frame: (bytes, nowMs) => read(directory.receiveFrame('a', CLUSTER, bytes, nowMs)),
  }
}

/** What a directory of version 1 does with the messages of a newer agent: it knows neither version 2 nor its messages. */
function versionOne(inner: Peer): Peer & { readonly heard: string[] } {
  const heard: string[] = []
  return {
    heard,
    text(text, nowMs) {
      const message = JSON.parse(text) as { type: string; v: number; beat?: number }
      heard.push(`${message.type} ${message.v}`)
      if (message.v !== 1)
        return { messages: [{ type: 'resync', reason: 'unsupported-version' }], closes: true }
      if (!['hello', 'heartbeat'].includes(message.type)) {
        return { messages: [{ type: 'refused', reason: 'malformed' }], closes: true }
      }
      const { beat: _, ...known } = message
      const answer = inner.text(JSON.stringify(known), nowMs)
      for (const said of answer.messages) if (said.type === 'welcome') delete said.v
      return answer
    },
    frame(bytes, nowMs) {
      heard.push(`frame ${bytes[0]}`)
      if (bytes[0] !== 1)
        return { messages: [{ type: 'resync', reason: 'unsupported-version' }], closes: false }
      return inner.frame(bytes, nowMs)
    },
  }
}

class Rig {
  nowMs = 0
  readonly outcomes = new OutcomeQueue()
  resident: readonly Change[] = KEYS
  readonly stream = new ReportStream({
    hello: () => ({ cluster: CLUSTER, region: 'us-east', incarnation: 1, models: [] }),
    snapshot: () => this.resident,
    outcomes: this.outcomes,
    random: () => 0.5,
    partMax: 1,
  })
  readonly #peer: Peer | null

  constructor(peer: Peer | null) {
    this.#peer = peer
  }

  /** Ticks for `ms`, every message delivered at once. */
  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += 100) {
      this.stream.tick(this.nowMs)
      if (this.nowMs % 200 === 0) this.stream.heartbeat({ loads: [], draining: false }, this.nowMs)
      this.perform()
    }
  }

  perform(): void {
    for (let commands = this.stream.take(); commands.length > 0; commands = this.stream.take()) {
      for (const command of commands) this.#do(command)
    }
  }

  #do(command: Command): void {
    if (command.kind === 'dial') this.stream.opened(this.nowMs)
    if (command.kind !== 'send' || this.#peer === null) return
    const { data } = command
    const { messages, closes } =
      typeof data === 'string' ? this.#peer.text(data, this.nowMs) : this.#peer.frame(data, this.nowMs)
    for (const message of messages) this.stream.received(JSON.stringify(message), this.nowMs)
    if (closes) this.stream.closed(this.nowMs)
  }
}

function held(directory: RegionalDirectory, key: Change): number {
  return directory.held.map.get(key.lo, key.hi, 0)
}

test('a snapshot part by part, then deltas; heartbeats are heard', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const rig = new Rig(peerOf(directory))
  rig.run(200)
  expect(rig.stream.state).toBe('live')
  expect(rig.stream.counts.frames).toBe(2)
  expect(KEYS.map((key) => held(directory, key))).toEqual([1, 10])
  rig.stream.push([{ ...KEYS[0]!, nibble: 0 }], 20, rig.nowMs)
  rig.perform()
  expect(held(directory, KEYS[0]!)).toBe(0)
  // Ten seconds and more of heartbeats alone: the directory answers enough of them.
  rig.run(PROGRESS_MS_MAX * 3)
  expect(rig.stream.counts).toEqual({ resyncs: 0, connects: 1, frames: 3 })
  const { freshness } = directory.inspect(rig.nowMs)
  expect(freshness.p50Ms).toBe(20)
})

test('a directory that says nothing is given up after ten seconds, and dialled again', () => {
  const rig = new Rig(null)
  rig.run(PROGRESS_MS_MAX)
  expect(rig.stream.counts.connects).toBe(1)
  rig.run(PROGRESS_MS_MAX)
  expect(rig.stream.counts.connects).toBe(2)
})

test('a live directory that no longer hears is given up too', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  let isDeaf = false
  const peer = peerOf(directory)
  const silent = { messages: [], closes: false }
  const rig = new Rig({
    text: (text, nowMs) => (isDeaf ? silent : peer.text(text, nowMs)),
    frame: (bytes, nowMs) => (isDeaf ? silent : peer.frame(bytes, nowMs)),
  })
  rig.run(300)
  isDeaf = true
  rig.run(PROGRESS_MS_MAX + 1000)
  expect(rig.stream.counts.connects).toBe(2)
  isDeaf = false
  rig.run(PROGRESS_MS_MAX + 1000)
  expect(rig.stream.state).toBe('live')
})

test('an agent of version 2 serves a directory of version 1, in its words only', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const peer = versionOne(peerOf(directory))
  const rig = new Rig(peer)
  rig.outcomes.note({ requestId: 'r' } as never)
  rig.run(PROGRESS_MS_MAX * 3)
  expect(rig.stream.state).toBe('live')
  expect(peer.heard[0]).toBe('hello 2')
  expect(new Set(peer.heard.slice(1))).toEqual(new Set(['hello 1', 'frame 1', 'heartbeat 1']))
  expect(rig.stream.counts.connects).toBe(2)
  // What version 1 cannot say, it is not told: several copies.
  expect(KEYS.map((key) => held(directory, key))).toEqual([1, 2])
  rig.stream.quiesce(rig.nowMs)
  rig.perform()
  expect(peer.heard).not.toContain('quiesce 1')
  expect(rig.outcomes.pending).toBe(1)
})

test('after a socket of version 1 the next one tries version 2 again', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const modern = peerOf(directory)
  const old = versionOne(modern)
  let isUpgraded = false
  const rig = new Rig({
    text: (text, nowMs) => (isUpgraded ? modern : old).text(text, nowMs),
    frame: (bytes, nowMs) => (isUpgraded ? modern : old).frame(bytes, nowMs),
  })
  rig.run(2000)
  isUpgraded = true
  rig.stream.closed(rig.nowMs)
  rig.run(2000)
  expect(KEYS.map((key) => held(directory, key))).toEqual([1, 10])
})

test('a goodbye is the last word', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const rig = new Rig(peerOf(directory))
  rig.run(200)
  rig.stream.quiesce(rig.nowMs)
  rig.perform()
  expect(directory.inspect(rig.nowMs).streams).toMatchObject([{ state: 'gone', entries: 0 }])
  rig.run(60_000)
  expect(rig.stream.counts.connects).toBe(1)
  expect(rig.stream.state).toBe('left')
})

test.each(['nonsense', '{}', '{"type":"ack","epoch":1,"seq":0}', 'x'.repeat(20_000), new ArrayBuffer(4)])(
  'what is no message of a directory changes nothing',
  (data) => {
    const rig = new Rig(peerOf(new RegionalDirectory('us-east', 1024)))
    rig.run(200)
    rig.stream.received(data, rig.nowMs)
    expect(rig.stream.state).toBe('live')
    expect(rig.stream.take()).toEqual([])
  },
)
