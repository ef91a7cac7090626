/** What a client sees of a path: time to the first token, and the gaps between tokens. */
import { Pool } from 'undici'
import { syntheticWord } from '../../core/synthetic-words.ts'

export interface Path {
  readonly name: string
  readonly origin: string
}

const WARM_UP = 20

/** A chat body of about so many bytes; the first message names a conversation. */
export function chatText(bytes: number, more: Readonly<Record<string, unknown>> = {}): string {
  const messages = [{ role: 'system', content: 'conversation 0' }]
  for (let size = 0, i = 0; size < bytes; i++) {
    const words = Array.from({ length: 200 }, (_, word) => syntheticWord(i * 977 + word * 31))
    const content = words.join(' ').slice(0, Math.max(bytes - size, 1))
    messages.push({ role: i % 2 === 0 ? 'user' : 'assistant', content })
    size += content.length + 40
  }
  return JSON.stringify({ model: 'm', max_tokens: 16, messages, ...more })
}

/** Time to the first data event over each path in turns, and what a path adds to the first. */
export async function ttftSamples(paths: readonly Path[], sizeKb: number, count: number, key: string) {
  const body = chatText(sizeKb * 1024, { stream: true, bench: '1,0' })
  const samples = await inTurns(paths, count, (pool) =>
    timeStream(pool, body, key).then(({ ttftMs }) => [ttftMs]),
  )
  return table(paths, samples, { body: `${sizeKb} KB` }, 'ttft')
}

/** Gaps between tokens that the cluster paces. */
export async function gapSamples(paths: readonly Path[], tokens: number, gapMs: number, key: string) {
  const body = chatText(2048, { stream: true, bench: `${tokens},${gapMs}` })
  const samples = await inTurns(paths, 6, (pool) => timeStream(pool, body, key).then(({ gapsMs }) => gapsMs))
  return table(paths, samples, { tokens: `one each ${gapMs} ms` }, 'gap')
}

async function inTurns(
  paths: readonly Path[],
  count: number,
  measure: (pool: Pool) => Promise<readonly number[]>,
): Promise<number[][]> {
  const pools = paths.map(({ origin }) => new Pool(origin, { connections: 1 }))
  const samples = paths.map((): number[] => [])
  const warmUp = Math.min(WARM_UP, count >> 1)
  for (let i = 0; i < count + warmUp; i++) {
    for (const [index, pool] of pools.entries()) {
      const values = await measure(pool)
      if (i >= warmUp) samples[index]?.push(...values)
    }
  }
  await Promise.all(pools.map((pool) => pool.close()))
  return samples
}

async function timeStream(pool: Pool, body: string, key: string) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const startMs = performance.now()
  const answer = await pool.request({ path: '/v1/chat/completions', method: 'POST', headers, body })
  if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`)
  let ttftMs = Number.NaN
  let lastMs = 0
  const gapsMs: number[] = []
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    if (!chunk.includes('data: {')) continue
    const nowMs = performance.now()
    if (Number.isNaN(ttftMs)) ttftMs = nowMs - startMs
    else gapsMs.push(nowMs - lastMs)
    lastMs = nowMs
  }
  return { ttftMs, gapsMs }
}

function table(paths: readonly Path[], samples: readonly number[][], what: object, unit: 'ttft' | 'gap') {
  const of = (index: number, share: number) => quantile(samples[index] ?? [], share)
  return paths.map(({ name }, index) => ({
    ...what,
    path: name,
    [`${unit} p50 ms`]: round(of(index, 0.5)),
    [`${unit} p99 ms`]: round(of(index, 0.99)),
    'added p50 ms': round(of(index, 0.5) - of(0, 0.5)),
    'added p99 ms': round(of(index, 0.99) - of(0, 0.99)),
  }))
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
