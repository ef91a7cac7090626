import { describe, expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { NO_BLOCK, type Block } from '../../../cluster-agent/blocks/block-table.ts'
import { BatchDecoder } from '../../../cluster-agent/events/batch-decoder.ts'
import { decodeBatch } from '../../../cluster-agent/events/decode-batch.ts'
import { parseLiveFrames } from '../../../cluster-agent/events/frames.ts'
import type { KvEvent } from '../../../cluster-agent/events/kv-event.ts'
import {
  eventSteps,
  readEvents,
  readExchanges,
  RECORDED_VERSIONS,
  type RecordedExchange,
  type RecordedMessage,
  type RecordedVersion,
} from '../../support/recorded.ts'

const BLOCK_TOKENS = 32
const GPU = 1
/** One run of one engine, step after step; the other recordings are engines of their own. */
const isStep = (step: string) => /^\d\d-/.test(step)

function eventsOf(message: RecordedMessage): readonly KvEvent[] {
  return decodeBatch(parseLiveFrames(message.frames)!.payload)!.events
}

const decoder = new BatchDecoder()

/** As the agent does it, by the quick decoder. */
function applyTo(index: BlockIndex, message: RecordedMessage, endpoint = 0): void {
  index.applyBatch(endpoint, decoder.decode(parseLiveFrames(message.frames)!.payload)!)
}

/** The engine's hit: whole blocks, and never the last token. */
function predictCached(
  index: BlockIndex,
  tokens: readonly number[],
  lora: string | null,
  salt: string | null,
  endpoint = 0,
): number {
  const blocks: Block[] = []
  for (let i = 0; (i + 1) * BLOCK_TOKENS <= tokens.length; i++) {
    const root = index.root(lora, i === 0 ? salt : null, BLOCK_TOKENS)
    blocks.push(
      index.table.intern(
        root,
        blocks[i - 1] ?? NO_BLOCK,
        tokens.slice(i * BLOCK_TOKENS, (i + 1) * BLOCK_TOKENS),
        null,
      ),
    )
  }
  const [run] = index.match(Int32Array.from(blocks), endpoint)
  const cap = Math.floor((tokens.length - 1) / BLOCK_TOKENS) * BLOCK_TOKENS
  return Math.min((run?.blocks ?? 0) * BLOCK_TOKENS, cap)
}

function promptTokens(exchanges: readonly RecordedExchange[], at: number): number[] | null {
  const prompt = exchanges[at]?.request.json?.['prompt']
  if (Array.isArray(prompt) && typeof prompt[0] === 'number') return prompt as number[]
  // A chat is followed by its tokens.
  const next = exchanges[at + 1]
  return next?.request.path === '/tokenize'
    ? ((next.response.json?.['tokens'] as number[] | undefined) ?? null)
    : null
}

/** Whether a message tells of blocks of this prompt or of what was generated behind it. */
function belongsTo(
  message: RecordedMessage,
  tokens: readonly number[],
  names: readonly string[],
  own: Set<bigint>,
): boolean {
  const stored = eventsOf(message).filter((event) => event.kind === 'stored')
  return stored.every((event) => {
    const keys = Array.isArray(event.extraKeys[0]) ? event.extraKeys[0] : []
    const start = tokens.join(',').startsWith(event.tokens.join(',')) && keys.join() === names.join()
    const inside = tokens.join(',').includes(event.tokens.join(','))
    const mine = (event.parent === null ? start : inside) || (event.parent !== null && own.has(event.parent))
    if (mine) for (const hash of event.hashes) own.add(hash)
    return mine
  })
}

describe.each(RECORDED_VERSIONS)('%s', (version: RecordedVersion) => {
  test('the predicted match of every recorded request equals the cached tokens that vLLM reported', () => {
    const index = new BlockIndex('tiny', 1)
    let checked = 0
    for (const step of eventSteps(version).filter(isStep)) {
      const messages = readEvents(version, step)
      const exchanges = readExchanges(version, step)
      for (const [at, { name, request, response }] of exchanges.entries()) {
        // An idle engine says nothing of a reset until its next step: who resets knows.
        if (/reset_prefix_cache|\/pause|\/sleep/.test(request.path)) index.apply(0, { kind: 'cleared' })
        const usage = response.json?.['usage'] as Record<string, unknown> | undefined
        const tokens = promptTokens(exchanges, at)
        if (!tokens) continue
        const model = String(request.json?.['model'])
        const salt = (request.json?.['cache_salt'] as string | undefined) ?? null
        if (usage && (request.json?.['n'] ?? 1) === 1) {
          const details = usage['prompt_tokens_details'] as { cached_tokens?: number } | null
          const predicted = predictCached(index, tokens, model === 'tiny' ? null : model, salt)
          expect({ step, name, cached: predicted }).toEqual({
            step,
            name,
            cached: details?.cached_tokens ?? 0,
          })
          checked++
        }
        const own = new Set<bigint>()
        const names = [...(model === 'tiny' ? [] : [model]), ...(salt === null ? [] : [salt])]
        while (messages[0] && belongsTo(messages[0], tokens, names, own)) applyTo(index, messages.shift()!)
      }
      expect({ step, left: messages.length }).toEqual({ step, left: 0 })
    }
    expect(checked).toBeGreaterThan(20)
    expect(index.counts.orphans).toBe(0)
  })

  test.each(eventSteps(version))('after %s the index holds what the events leave', (step) => {
    const index = new BlockIndex('tiny', 1)
    const copies = new Map<bigint, number>()
    for (const event of readEvents(version, step).flatMap(eventsOf)) {
      index.apply(0, event)
      if (event.kind === 'cleared') copies.clear()
      else
        for (const hash of event.hashes)
          copies.set(hash, Math.max((copies.get(hash) ?? 0) + (event.kind === 'stored' ? 1 : -1), 0))
    }
    const expected = [...copies].flatMap(([hash, count]) => (count > 0 ? [hash] : []))
    // Steps that continue an earlier one store behind parents that only it told of: those wait as orphans.
    const resident = index.residentHashes(0, GPU)
    for (const hash of resident) expect(expected).toContain(hash)
    if (index.counts.orphans === 0) expect(resident.toSorted()).toEqual(expected.toSorted())
  })
})

/** Requests with token ids for a prompt and a count of cached tokens for an answer. */
function checkedRequests(step: string) {
  return readExchanges('v0.32.0', step).flatMap(({ name, request, response }) => {
    const { usage } = (response.json ?? {}) as {
      usage?: { prompt_tokens_details?: { cached_tokens: number } }
    }
    const tokens = request.json?.['prompt']
    const cached = usage?.prompt_tokens_details?.cached_tokens
    if (!Array.isArray(tokens) || typeof tokens[0] !== 'number' || cached === undefined) return []
    const rank = Number(request.headers?.['x-data-parallel-rank'] ?? 0)
    return [{ name, tokens: tokens as number[], cached, rank }]
  })
}

const startsWith = (message: RecordedMessage, tokens: readonly number[]) =>
  eventsOf(message).some(
    (event) => event.kind === 'stored' && tokens.join(',').startsWith(event.tokens.join(',')),
  )

const isWithin = (message: RecordedMessage, tokens: readonly number[]) =>
  eventsOf(message).some(
    (event) => event.kind === 'stored' && tokens.join(',').includes(event.tokens.join(',')),
  )

test('each data-parallel rank is an endpoint of its own', () => {
  const index = new BlockIndex('tiny', 2)
  const messages = [readEvents('v0.32.0', 'dp'), readEvents('v0.32.0', 'dp-rank1')]
  const requests = checkedRequests('dp')
  for (const { name, tokens, cached, rank } of requests) {
    expect({ name, cached: predictCached(index, tokens, null, null, rank) }).toEqual({ name, cached })
    const waiting = messages[rank]!
    while (waiting[0] && startsWith(waiting[0], tokens)) applyTo(index, waiting.shift()!, rank)
  }
  expect(requests.map(({ rank, cached }) => [rank, cached])).toEqual([
    [1, 0],
    [0, 0],
    [1, 64],
  ])
})

test('what a prefill engine reports on its legs is what its events say', () => {
  const index = new BlockIndex('tiny', 1)
  const messages = readEvents('v0.32.0', 'pd')
  const requests = checkedRequests('pd').filter(({ name }) => !/decode$|same parameters/.test(name))
  for (const [at, { name, tokens, cached }] of requests.entries()) {
    // What no later prompt explains belongs to requests whose tokens are not recorded.
    const later = requests.slice(at)
    while (messages[0] && !later.some((request) => isWithin(messages[0]!, request.tokens)))
      applyTo(index, messages.shift()!)
    if (name === 'completions: prefill') index.apply(0, { kind: 'cleared' })
    expect({ name, cached: predictCached(index, tokens, null, null) }).toEqual({ name, cached })
    // A prefill is one step, and a step one message.
    if (messages[0] && isWithin(messages[0], tokens)) applyTo(index, messages.shift()!)
  }
  expect(requests.length).toBeGreaterThan(5)
  expect(requests.filter(({ cached }) => cached > 0).length).toBeGreaterThan(1)
})
