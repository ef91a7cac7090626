import { expect, test } from 'vitest'
import type { KvEvent } from '../../../simulator/engine/kv-event.ts'
import type { EngineCore } from '../../../simulator/engine/engine-core.ts'
import { batches, exchanges, type Exchange, type AnyJson } from '../fixtures.ts'
import { core, drive, request, SMALL } from '../drive.ts'

/** One life of the recorded engine, in the order of its recording. */
const STEPS = [
  '01-store',
  '02-duplicate',
  '03-multiturn',
  '04-salt',
  '05-reset',
  '06-evict',
  '07-session-and-report',
  '08-same-prompt-twice-in-one-batch',
] as const

/** Plays one recorded exchange; the answer's tokens are the recorded ones where they were recorded. */
function play(
  engine: EngineCore,
  hasReports: boolean,
  { request: { path, json }, response }: Exchange,
): (readonly KvEvent[])[] {
  if (path === '/reset_prefix_cache') {
    expect(engine.space.reset()).toBe(true)
    return []
  }
  const make = () =>
    request(json.prompt, {
      maxTokens: json.max_tokens,
      salt: json.cache_salt ?? null,
      sessionId: json.session_id ?? null,
      isReportFull: hasReports && json.vllm_xargs?.kv_cache_report_mode === 'full',
    })
  engine.submit(make(), 0)
  const said: number[] | null = response.json.choices[0].token_ids
  const run = drive(engine, 0, {
    // vLLM hands the choices of one request to its scheduler one by one.
    onStep: (step) => {
      if (step === 0 && json.n === 2) engine.submit(make(), 0)
    },
    onOutput: (sequence) => {
      if (said !== null) sequence.tokens[sequence.length - 1] = said[sequence.outputTokens - 1]!
    },
  })
  const { prompt_tokens_details: details } = response.json.usage
  expect(run.finished.at(-1)!.cachedTokens).toBe(details?.cached_tokens ?? 0)
  return run.batches
}

type Hash = number | bigint | { readonly u64: string }

/** Names hashes by their first appearance, so that two engines' opaque hashes compare. */
class HashNames {
  private readonly names = new Map<string, number>()

  of(hash: Hash | null): number | null {
    if (hash === null) return null
    const key = typeof hash === 'object' ? hash.u64 : String(hash)
    if (!this.names.has(key)) this.names.set(key, this.names.size)
    return this.names.get(key)!
  }
}

function recordedEvent(event: AnyJson, names: HashNames): unknown {
  const fields = Array.isArray(event)
    ? {
        type: event[0],
        block_hashes: event[1],
        parent_block_hash: event[2],
        token_ids: event[3],
        extra_keys: event[8],
      }
    : event
  if (fields.type === 'AllBlocksCleared') return 'cleared'
  if (fields.type === 'BlockRemoved') return { removed: names.of(fields.block_hashes[0]) }
  return {
    parent: names.of(fields.parent_block_hash),
    hashes: fields.block_hashes.map((hash: Hash) => names.of(hash)),
    tokens: fields.token_ids,
    salt: fields.extra_keys[0]?.[0] ?? null,
  }
}

function simulatedEvent(event: KvEvent, names: HashNames): unknown {
  if (event.kind === 'cleared') return 'cleared'
  if (event.kind === 'removed') return { removed: names.of(event.hash) }
  if (event.kind === 'offloaded') return 'offloaded'
  return {
    parent: names.of(event.parent),
    hashes: event.hashes.map((hash) => names.of(hash)),
    tokens: Array.from(event.tokens),
    salt: event.parent === null ? event.salt : null,
  }
}

test.each(['0.32.0', '0.23.0'] as const)(
  'an engine of 12 blocks gives the events that vLLM %s gave, batch by batch',
  (version) => {
    const engine = core(SMALL, 1, version === '0.32.0')
    const mine = new HashNames()
    const theirs = new HashNames()
    for (const step of STEPS) {
      const played = exchanges(version, step)
        .filter(({ request: { path } }) => path === '/v1/completions' || path === '/reset_prefix_cache')
        .flatMap((exchange) => play(engine, version === '0.32.0', exchange))
      const simulated = played.map((events) => events.map((event) => simulatedEvent(event, mine)))
      const recorded = batches(version, step).map(({ payload }) =>
        payload[1].map((event) => recordedEvent(event, theirs)),
      )
      expect({ step, batches: simulated }).toEqual({ step, batches: recorded })
    }
    expect(engine.space.pool.free).toBe(12)
  },
)

test('a duplicate block is stored twice and removed twice, as recorded', () => {
  const engine = core()
  const mine = new HashNames()
  const theirs = new HashNames()
  const played = exchanges('0.32.0', '14-duplicate-eviction').flatMap((exchange) =>
    play(engine, true, exchange),
  )
  const simulated = played.flat().map((event) => simulatedEvent(event, mine))
  const recorded = batches('0.32.0', '14-duplicate-eviction').flatMap(({ payload }) =>
    payload[1].map((event) => recordedEvent(event, theirs)),
  )
  // The recorded engine was used before: its first evictions depend on what lay in its queue.
  const stores = (events: unknown[]) => events.filter((event) => !(event as object).hasOwnProperty('removed'))
  expect(stores(simulated)).toEqual(stores(recorded))
  const twin = 1
  const removals = (events: unknown[]) =>
    events.filter((event) => (event as { removed?: number }).removed === twin).length
  expect(removals(simulated)).toBe(removals(recorded))
  expect(removals(simulated)).toBe(2)
})
