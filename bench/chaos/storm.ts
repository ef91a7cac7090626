/**
 * Requests through an agent while KV events are lost and late, and engines die in prefill, in hand-off and in decode and come
 * back in place. What is drawn is fixed by a seed; what dies, dies when it is seen to be in the phase that the plan says.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { syntheticWord } from '../../core/synthetic-words.ts'
import { CHAOS_MODEL, ChaosCluster } from './engines.ts'

export const PHASES = ['prefill', 'handoff', 'decode'] as const
export type Phase = (typeof PHASES)[number]

const IN_FLIGHT = 12
const CONVERSATIONS = 12
const TURNS_MAX = 4
/** Callers that leave before their answer is whole. */
const LEAVES_SHARE = 0.1
const LOSS_MIN = 0.001
const LOSS_MAX = 0.05
const DELAY_MS_MAX = 5000
/** Of the batches of an engine. */
const DELAYED_SHARE = 0.005
/** How long an engine stays dead. */
const DEAD_MS = 200
const POLL_MS = 2
/** A phase that does not come in this time is not waited for any longer. */
const PHASE_MS_MAX = 30_000
const SETTLE_MS_MAX = 60_000

export interface ChaosReport {
  readonly seed: number
  readonly lossShare: number
  readonly requests: number
  readonly whole: number
  readonly left: number
  /** Streams that ended with an error after their first byte, and how many were being decoded by engines that died. */
  readonly cut: number
  readonly cutMax: number
  /** Requests that got no answer although an engine was there: what was said of each. */
  readonly refused: readonly string[]
  /** Answers, or beginnings of answers, that are others than those of an engine that is asked alone. */
  readonly wrong: readonly string[]
  readonly kills: Readonly<Record<Phase, number>>
  readonly gaps: number
  readonly replayed: number
  readonly fences: number
  /** From the end of the faults and requests until the agent believed of every engine what it holds; null: it did not. */
  readonly healedMs: number | null
  /** What was still booked then. */
  readonly booked: number
}

/** `kills`: engines that die, one after another. */
export async function runChaos(seed: number, requests: number, kills: number): Promise<ChaosReport> {
  const cluster = await ChaosCluster.start()
  try {
    await waitFor(() => cluster.agent.subscribers.every(({ state }) => state === 'live'), SETTLE_MS_MAX)
    return await new Storm(cluster, seed).run(requests, kills)
  } finally {
    await cluster.stop()
  }
}

interface Message {
  readonly role: string
  readonly content: string
}

class Storm {
  readonly #cluster: ChaosCluster
  readonly #seed: number
  readonly #random: () => number
  readonly #right = new Map<string, Promise<string>>()
  readonly #counts = { whole: 0, left: 0, cut: 0, cutMax: 0 }
  readonly #refused: string[] = []
  readonly #wrong: string[] = []
  readonly #kills = { prefill: 0, handoff: 0, decode: 0 }
  #isOver = false

  constructor(cluster: ChaosCluster, seed: number) {
    this.#cluster = cluster
    this.#seed = seed
    this.#random = randomOf(seed)
  }

  async run(requests: number, kills: number): Promise<ChaosReport> {
    const lossShare = LOSS_MIN + this.#random() * (LOSS_MAX - LOSS_MIN)
    const drawn = (seq: number, salt: number) => randomOf(this.#seed * 7919 + seq * 31 + salt)()
    this.#cluster.setFaults({
      dropEvents: (seq) => drawn(seq, 1) < lossShare,
      delayEventsMs: (seq) => (drawn(seq, 2) < DELAYED_SHARE ? drawn(seq, 3) * DELAY_MS_MAX : 0),
    })
    let asked = 0
    const killing = this.#killAll(kills)
    // Load goes on for as long as engines die.
    const ask = async () => {
      while (asked < requests || !this.#isOver) {
        asked++
        await this.#ask()
      }
    }
    await Promise.all([killing, ...Array.from({ length: IN_FLIGHT }, ask)])
    this.#cluster.setFaults({ dropEvents: () => false, delayEventsMs: () => 0 })
    const startMs = performance.now()
    const { bookings, queue } = this.#cluster.agent.cluster
    const isSettled = () => bookings.count + queue.size === 0 && this.#cluster.mistaken().length === 0
    const isHealed = await waitFor(isSettled, SETTLE_MS_MAX)
    const counts = this.#cluster.agent.subscribers.map((feed) => feed.counts)
    const sum = (read: (one: (typeof counts)[number]) => number) =>
      counts.reduce((total, one) => total + read(one), 0)
    return {
      seed: this.#seed,
      lossShare,
      requests: asked,
      ...this.#counts,
      refused: this.#refused,
      wrong: this.#wrong,
      kills: this.#kills,
      gaps: sum(({ gaps }) => gaps),
      replayed: sum(({ replayed }) => replayed),
      fences: sum(({ fences }) => fences),
      healedMs: isHealed ? performance.now() - startMs : null,
      booked: bookings.count + queue.size,
    }
  }

  async #killAll(kills: number): Promise<void> {
    for (let i = 0; i < kills; i++) {
      const phase = PHASES[i % PHASES.length] ?? 'decode'
      const role = phase === 'decode' ? 'd' : 'p'
      const names = this.#random() < 0.5 ? [`${role}0`, `${role}1`] : [`${role}1`, `${role}0`]
      const found = () => names.find((one) => this.#isIn(phase, one))
      await waitFor(() => found() !== undefined, PHASE_MS_MAX)
      const name = found()
      if (name === undefined) continue
      const victim = this.#cluster.engine(name)
      this.#counts.cutMax += victim.stats().running
      victim.kill()
      this.#kills[phase]++
      await sleep(DEAD_MS)
      await this.#cluster.revive(name)
      // Until it takes requests again: its next death should hit some.
      await waitFor(() => this.#takesRequests(name), PHASE_MS_MAX)
    }
    this.#isOver = true
  }

  #isIn(phase: Phase, name: string): boolean {
    const { running, leases } = this.#cluster.engine(name).stats()
    return (phase === 'handoff' ? leases : running) > 0
  }

  #takesRequests(name: string): boolean {
    const { cluster } = this.#cluster.agent
    const endpoint = cluster.endpoints.find((one) => one.name === name)
    return endpoint !== undefined && cluster.unavailable(endpoint.number) === null
  }

  async #ask(): Promise<void> {
    const random = this.#random
    const messages = conversation(Math.floor(random() * CONVERSATIONS), 1 + Math.floor(random() * TURNS_MAX))
    const body = { model: CHAOS_MODEL, messages, max_tokens: 4 + Math.floor(random() * 24) }
    const stream = random() < 0.7
    const leaving = new AbortController()
    const leavesMs = random() < LEAVES_SHARE ? random() * 100 : null
    if (leavesMs !== null) setTimeout(() => leaving.abort(), leavesMs)
    const right = this.#answerOf(body)
    const { status, text } = await post(this.#cluster.agent.url, { ...body, stream }, leaving.signal)
    if (leaving.signal.aborted) {
      this.#counts.left++
      return
    }
    if (status !== 200) {
      this.#refused.push(`${status} ${text.slice(0, 200)}`)
      return
    }
    const { content, isWhole } = stream ? readStream(text) : readWhole(text)
    const expected = await right
    const isRight = isWhole ? content === expected : expected.startsWith(content)
    if (!isRight) this.#wrong.push(`${content.slice(0, 80)} instead of ${expected.slice(0, 80)}`)
    // Only a stream may end early: of a whole answer nothing has gone out before its end.
    if (isWhole) this.#counts.whole++
    else if (stream) this.#counts.cut++
    else this.#refused.push('a whole answer was cut')
  }

  #answerOf(body: object): Promise<string> {
    const key = JSON.stringify(body)
    const known = this.#right.get(key)
    if (known) return known
    const asked = post(this.#cluster.oracle.url, body).then(({ text }) => readWhole(text).content)
    this.#right.set(key, asked)
    return asked
  }
}

/** A conversation as it has grown by `turns`: what comes later begins with what came before. */
function conversation(index: number, turns: number): Message[] {
  const words = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => syntheticWord(from + i * 7)).join(' ')
  const system = { role: 'system', content: words((index % 3) * 1000, 400) }
  const turnsOf = Array.from({ length: turns }, (_, turn): Message[] => [
    { role: 'user', content: words(index * 131 + turn * 17, 60 + ((index * 37 + turn * 91) % 500)) },
    { role: 'assistant', content: words(index * 57 + turn * 29, 40) },
  ]).flat()
  return [system, ...turnsOf.slice(0, -1)]
}

async function post(url: string, body: object, signal?: AbortSignal) {
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    })
    return { status: response.status, text: await response.text() }
  } catch (error) {
    return { status: 0, text: String(error) }
  }
}

function readWhole(text: string) {
  const json = JSON.parse(text) as { choices?: { message?: { content?: string } }[] }
  const content = json.choices?.[0]?.message?.content
  return { content: content ?? '', isWhole: content !== undefined }
}

function readStream(text: string) {
  let content = ''
  for (const line of text.split('\n')) {
    if (!line.startsWith('data: {')) continue
    const json = JSON.parse(line.slice('data: '.length)) as { choices?: { delta?: { content?: string } }[] }
    content += json.choices?.[0]?.delta?.content ?? ''
  }
  return { content, isWhole: text.trimEnd().endsWith('data: [DONE]') && !text.includes('data: {"error"') }
}

async function waitFor(condition: () => boolean, boundMs: number): Promise<boolean> {
  const endMs = performance.now() + boundMs
  while (!condition()) {
    if (performance.now() > endMs) return false
    await sleep(POLL_MS)
  }
  return true
}

/** A fixed sequence for each seed. */
function randomOf(seed: number): () => number {
  let state = (Math.imul(seed, 2_654_435_761) ^ 0x9e3779b9) >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}
