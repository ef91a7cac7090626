/** The pure hot path of the edge, beside what the platform's own JSON.parse of the same body costs in the same run. */
import { writeFile } from 'node:fs/promises'
import { cheapestReuse } from '../core/cost-model.ts'
import { prefixMarkers } from '../core/prefix-markers.ts'
import { PromptWriter } from '../core/prompt-bytes.ts'
import { syntheticWord } from '../core/synthetic-words.ts'
import { TIERS } from '../core/tiers.ts'
import { describeMachine } from './machine.ts'

const ROUNDS = 9
const ROUND_MS = 60
const KEY = { lo: 1, hi: 2 }

export async function benchCore(options: { readonly json?: string }): Promise<void> {
  const rows: Record<string, number | string>[] = []
  for (const kilobytes of [8, 24, 64, 400]) {
    const body = chatBody(kilobytes * 1024)
    const text = JSON.stringify(body)
    const writer = new PromptWriter(new TextEncoder())
    const write = () => {
      const result = writer.write('chat', 'm', body)
      if (!result.ok) throw new Error(result.message)
      return result.prompt
    }
    const [parseUs, writeUs, bothUs] = measureSideBySide([
      () => JSON.parse(text) as unknown,
      write,
      () => {
        const { bytes, messageEnds } = write()
        return prefixMarkers(bytes, messageEnds, KEY)
      },
    ])
    rows.push({
      body: `${kilobytes} KB`,
      'JSON.parse us': round(parseUs),
      'canonical bytes us': round(writeUs),
      'bytes and markers us': round(bothUs),
      'ratio to JSON.parse': round((bothUs ?? 0) / (parseUs ?? 1)),
    })
  }
  const [priceUs] = measureSideBySide([
    () =>
      cheapestReuse({ fixedMs: 30, msPerToken: 0.06, msPerTokenPair: 2e-6 }, 262_144, 12_000, [
        { tier: 'gpu', tokens: 6000, cost: TIERS[0].cost },
        { tier: 'cpu', tokens: 3000, cost: TIERS[1].cost },
      ]),
  ])
  const result = { machine: describeMachine(), rows, priceOfOneMatchUs: round(priceUs) }
  console.table(rows)
  console.log(`price of one match: ${result.priceOfOneMatchUs} us`)
  if (options.json) await writeFile(options.json, `${JSON.stringify(result, null, 2)}\n`)
}

function chatBody(bytes: number) {
  const messages: { role: string; content: string }[] = []
  for (let size = 0, i = 0; size < bytes; i++) {
    const content = Array.from({ length: 400 }, (_, word) => syntheticWord(i * 977 + word * 31)).join(' ')
    messages.push({ role: i % 2 === 0 ? 'user' : 'assistant', content })
    size += content.length
  }
  return { model: 'm', messages }
}

/** Microseconds a call of each, the median of rounds that take turns: a busy minute hits all alike. */
function measureSideBySide(calls: readonly (() => unknown)[]): number[] {
  const samples = calls.map((): number[] => [])
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, call] of calls.entries()) {
      const startMs = performance.now()
      let times = 0
      while (performance.now() - startMs < ROUND_MS) {
        call()
        times++
      }
      samples[index]?.push(((performance.now() - startMs) * 1000) / times)
    }
  }
  return samples.map((values) => values.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0)
}

function round(value: number | undefined): number {
  return Number((value ?? 0).toPrecision(3))
}
