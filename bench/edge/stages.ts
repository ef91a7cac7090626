/** The edge's steps alone, in Node, which has the same engine: microseconds a request. What workerd itself costs is not in it. */
import { createHash } from 'node:crypto'
import { Fingerprinter } from '../../worker/fingerprint.ts'
import { EnvelopeSeal, markersText, newNonce } from '../../worker/envelope-seal.ts'
import { policySchema } from '../../protocol/policy.ts'
import { REPORT_ENTRIES_MAX } from '../../protocol/tenancy.ts'
import { formatReceipt } from '../../protocol/receipt.ts'
import { Notes } from '../../worker/memory/notes.ts'
import { TenantLimits } from '../../worker/memory/tenant-limits.ts'
import { NOTHING_BOOKED } from '../../worker/plan/booked-queue.ts'
import type { Candidate } from '../../worker/plan/candidate.ts'
import { makePlan } from '../../worker/plan/plan.ts'
import type { PricedCandidate } from '../../worker/plan/price.ts'

const ROUNDS = 7
const ROUND_MS = 50
const TERMS = {
  requestsPerMinute: 1e7,
  tokensPerMinute: 1e9,
  concurrentMax: null,
  budget: null,
  prices: {},
}
const ID = '5b0c8ad6-0000-0000-0000-000000000000'

export async function measureStages(text: string) {
  const bytes = new TextEncoder().encode(text)
  const json = JSON.parse(text) as Readonly<Record<string, unknown>>
  const fingerprinter = new Fingerprinter('prefix-secret-of-the-bench')
  const { markers, promptBytes } = fingerprinter.fingerprint('chat', 'm', json, 'tenant:bench')
  const policy = policySchema.parse({ regions: ['us-east'] })
  const candidates = ['us-east-1', 'us-east-2', 'us-east-3'].map(candidateOf)
  const seal = new EnvelopeSeal('envelope-secret-of-the-bench')
  const plan = () =>
    makePlan({
      candidates,
      policy,
      promptBytes,
      routing: 'isotherm',
      knowledge: 'directory',
      stayMarginMs: 50,
      pinnedCluster: null,
      stickyKey: '',
      isShared: false,
      draw: 0,
      random: Math.random,
    })
  const limits = leasedLimits()
  let taken = 0
  const notes = new Notes(1000)
  const { entries, rejected, reason } = plan()
  const stages: Readonly<Record<string, () => unknown>> = {
    'decode and JSON.parse': () =>
      JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown,
    'canonical bytes and markers': () => fingerprinter.fingerprint('chat', 'm', json, 'tenant:bench'),
    'plan over three clusters': plan,
    // Node's WebCrypto hands each digest to another thread, which workerd does not.
    'SHA-256 of the body': () => createHash('sha256').update(bytes).digest('hex'),
    'envelope: JSON, nonce, HMAC': () =>
      seal.seal('/v1/chat/completions', 'a'.repeat(64), {
        v: 2,
        requestId: ID,
        attempt: 1,
        tenant: 'bench',
        shareScope: 'tenant:bench',
        cluster: 'us-east-1',
        model: 'm',
        stream: false,
        outputTokensMax: 16,
        markers: markersText(markers),
        promptBytes,
        issuedMs: 1,
        nonce: newNonce(),
        deadlineMs: 2,
        edgeRegion: 'us-east',
        priority: 0,
        responseId: null,
        sloTtftMs: null,
        sloItlMs: null,
        elsewhereMs: null,
      }),
    'receipt header': () =>
      formatReceipt({
        cluster: 'us-east-1',
        region: 'us-east',
        matched_tokens: 1,
        prompt_tokens: 2,
        tier: 'gpu',
        predicted_ttft_ms: 3,
        attempt: 1,
        reason: 'warm',
        age_ms: 4,
      }),
    'lease: take, end, headers': () => {
      limits.take(ID, 'm', { requests: 1, tokens: 1, nanoUsd: 0 }, 0)
      limits.end(ID)
      limits.putHeaders({}, 0)
      if (++taken % REPORT_ENTRIES_MAX === 0) limits.takeReport(TERMS, false, 0)
    },
    'note of the request, as text': () =>
      notes.add({
        requestId: ID,
        tenant: 'bench',
        keyId: 'config',
        policyVersion: 0,
        api: 'chat',
        model: 'm',
        stream: false,
        edgeRegion: 'us-east',
        startedMs: 1,
        routing: 'isotherm',
        reason,
        knowledge: 'directory',
        candidates: entries.map(toldOf),
        rejected,
        attempts: [{ attempt: 1, cluster: 'us-east-1' }],
        status: 200,
        answeredMs: 2,
      }),
  }
  const figures: { stage: string; us: number }[] = []
  for (const [stage, run] of Object.entries(stages)) {
    figures.push({ stage, us: Number((await median(run)).toPrecision(3)) })
  }
  return figures
}

interface Figure {
  readonly stage: string
  readonly us: number
}

/** Processor time of a request in us: what any Worker pays that passes it on, what is computed, and all that is left. */
export function whereItGoes(
  cpuUs: { readonly pipe: number; readonly holding: number; readonly edge: number },
  stages: readonly Figure[],
): Figure[] {
  const computedUs = stages.reduce((sum, { us }) => sum + us, 0)
  const parts = {
    'a Worker that only pipes': cpuUs.pipe,
    'more for holding both bodies': cpuUs.holding - cpuUs.pipe,
    'the stages above': computedUs,
    "the rest: the platform's objects, promises, their collection, the Durable Objects":
      cpuUs.edge - cpuUs.holding - computedUs,
    'all of it, with answers from the isolate': cpuUs.edge,
  }
  return Object.entries(parts).map(([stage, us]) => ({ stage, us: Math.round(us) }))
}

/** As worker/explain.ts has it, which Node cannot load. */
function toldOf({ candidate, matchedTokens, promptTokens, tier, terms }: PricedCandidate) {
  const { cluster, region } = candidate.config
  return { cluster, region, state: 'unknown' as const, matchedTokens, promptTokens, tier, ageMs: -1, terms }
}

/** With a lease that no round uses up. */
function leasedLimits(): TenantLimits {
  const limits = new TenantLimits()
  const state = { limit: 1e9, remaining: 1e9, resetMs: 1000 }
  const lease = { lease: 'l', requests: 1e12, tokens: 1e12, nanoUsd: null, slots: null, lifeMs: 1000 }
  limits.accept({ kind: 'granted', lease, limits: { requests: state, tokens: state } }, 0)
  return limits
}

function candidateOf(cluster: string): Candidate {
  return {
    config: { cluster, region: 'us-east', url: 'http://127.0.0.1:1', entrances: {} },
    jurisdiction: null,
    isRegionDrained: false,
    knowledge: { cluster, state: 'unknown' },
    rttMs: 5,
    booked: NOTHING_BOOKED,
    speculativeBytes: 0,
    isBreakerOpen: false,
  }
}

async function median(run: () => unknown): Promise<number> {
  const samples: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now()
    let times = 0
    for (; performance.now() - startMs < ROUND_MS; times++) {
      const result = run()
      if (result instanceof Promise) await result
    }
    samples.push(((performance.now() - startMs) * 1000) / times)
  }
  return samples.toSorted((a, b) => a - b)[ROUNDS >> 1] ?? 0
}
