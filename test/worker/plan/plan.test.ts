import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ROUTINGS } from '../../../protocol/edge-config.ts'
import { makePlan } from '../../../worker/plan/plan.ts'
import { candidate, COLD_MS, input, known, order, POLICY, PROMPT_BYTES } from './candidates.ts'

describe('a known conversation', () => {
  const warm = { matchedBytes: 30_000 }

  test('stays when another is cheaper by less than the margin', () => {
    const home = known('near', { ...warm, loads: { backlogMs: 890 } })
    const plan = makePlan(input([candidate('near', 5, home), candidate('far', 100)]))
    expect([order(plan), plan.reason]).toEqual([['near', 'far'], 'stay'])
  })

  test('moves when the margin is exceeded', () => {
    const home = known('near', { ...warm, loads: { backlogMs: 1000 } })
    const plan = makePlan(input([candidate('near', 5, home), candidate('far', 100)]))
    expect([order(plan), plan.reason]).toEqual([['far', 'near'], 'least-wait'])
  })

  test('stays where it is while the load there is too old to be believed', () => {
    const home = known('near', { ...warm, loadAgeMs: 6000, loads: { backlogMs: 9e6 } })
    expect(order(makePlan(input([candidate('near', 5, home), candidate('far', 100)])))).toEqual([
      'near',
      'far',
    ])
  })

  test('a draining cluster keeps the conversations it knows and takes no others', () => {
    const home = candidate('near', 5, known('near', { ...warm, draining: true }))
    expect(order(makePlan(input([home, candidate('far', 100)])))).toEqual(['near', 'far'])
    const cold = candidate('near', 5, known('near', { draining: true }))
    const plan = makePlan(input([cold, candidate('far', 100)]))
    expect(plan).toMatchObject({ rejected: [{ cluster: 'near', reason: 'draining' }] })
    expect(order(plan)).toEqual(['far'])
  })

  test('equal prompts of a burst go together before any of them is resident', () => {
    const speculative = candidate('far', 100, known('far'), { speculativeBytes: PROMPT_BYTES })
    expect(order(makePlan(input([candidate('near', 5), speculative])))).toEqual(['far', 'near'])
  })
})

describe('what is not known', () => {
  test('nothing at all: nearest, and it says so', () => {
    const unknown = (cluster: string, rttMs: number) =>
      candidate(cluster, rttMs, { cluster, state: 'unknown' })
    const plan = makePlan(input([unknown('far', 100), unknown('near', 5)], { knowledge: 'none' }))
    expect([order(plan), plan.reason]).toEqual([['near', 'far'], 'no-directory'])
  })

  test('an unknown cluster is neither full nor empty: it is priced as the others are', () => {
    const unknown = candidate('near', 5, { cluster: 'near', state: 'unknown' })
    const plan = makePlan(
      input([candidate('far', 100, known('far', { loads: { backlogMs: 300 } })), unknown]),
    )
    expect(order(plan)).toEqual(['near', 'far'])
    expect(plan.entries[0]?.terms).toMatchObject({ prefillMs: COLD_MS, queueMs: 300 })
  })

  test('an old load is not believed: neither its queue nor its missing endpoints', () => {
    const old = candidate(
      'near',
      5,
      known('near', { loadAgeMs: 6000, loads: { backlogMs: 9e6, endpoints: 0 } }),
    )
    expect(order(makePlan(input([old, candidate('far', 100)])))).toEqual(['near', 'far'])
  })
})

describe('rules', () => {
  test('policy, model, endpoints', () => {
    const plan = makePlan(
      input([
        candidate('forbidden', 1),
        candidate('near', 5, known('near', { offer: null })),
        candidate('other', 5, known('other', { loads: { endpoints: 0 } })),
        candidate('far', 100),
      ]),
    )
    expect(order(plan)).toEqual(['far'])
    expect(plan.rejected).toEqual([
      { cluster: 'forbidden', reason: 'policy-region' },
      { cluster: 'near', reason: 'model-not-served' },
      { cluster: 'other', reason: 'no-endpoints' },
    ])
  })

  test('residency: a region whose law the policy does not name, or that names none', () => {
    const policy = { ...POLICY, residency: ['eu'] }
    const plan = makePlan(
      input(
        [
          candidate('near', 5, known('near'), { jurisdiction: 'us' }),
          candidate('other', 5),
          candidate('far', 100, known('far'), { jurisdiction: 'eu' }),
        ],
        { policy },
      ),
    )
    expect(order(plan)).toEqual(['far'])
    expect(plan.rejected.map(({ reason }) => reason)).toEqual(['residency', 'residency'])
  })

  test('what is kept in a cluster is continued there or nowhere', () => {
    const two = [candidate('near', 5), candidate('far', 100)]
    const pinned = makePlan(input(two, { pinnedCluster: 'far' }))
    expect(order(pinned)).toEqual(['far'])
    expect(pinned.rejected).toEqual([{ cluster: 'near', reason: 'response-elsewhere' }])
    expect(makePlan(input(two, { pinnedCluster: 'gone' }))).toMatchObject({ entries: [], reason: null })
  })

  test('a drained region keeps the conversations that it knows and takes no others', () => {
    const drained = { isRegionDrained: true }
    const cold = makePlan(input([candidate('near', 5, known('near'), drained), candidate('far', 100)]))
    expect([order(cold), cold.rejected]).toEqual([['far'], [{ cluster: 'near', reason: 'region-draining' }]])
    const home = candidate('near', 5, known('near', { matchedBytes: 30_000 }), drained)
    expect(order(makePlan(input([home, candidate('far', 100)])))).toEqual(['near', 'far'])
    // A conversation that another cluster knows is none of its own.
    const elsewhere = candidate('far', 100, known('far', { matchedBytes: 30_000 }))
    const moved = makePlan(input([candidate('near', 5, known('near'), drained), elsewhere]))
    expect(order(moved)).toEqual(['far'])
    // Nobody else is left: better than a refusal.
    expect(order(makePlan(input([candidate('near', 5, known('near'), drained)])))).toEqual(['near'])
  })

  test('health yields when it would leave nobody', () => {
    const open = { isBreakerOpen: true }
    const both = [candidate('near', 5, known('near'), open), candidate('far', 100, known('far'), open)]
    expect(order(makePlan(input(both)))).toEqual(['near', 'far'])
    expect(order(makePlan(input([both[0]!, candidate('far', 100)])))).toEqual(['far'])
  })

  test('nobody is left: an empty plan without a reason', () => {
    expect(makePlan(input([candidate('forbidden', 1)]))).toMatchObject({ entries: [], reason: null })
  })
})

describe('other routings', () => {
  const three = [candidate('near', 5), candidate('far', 100), candidate('other', 50)]

  test('nearest looks at the round trip alone', () => {
    const warm = candidate('far', 100, known('far', { matchedBytes: 40_000 }))
    const plan = makePlan(input([warm, candidate('near', 5)], { routing: 'nearest' }))
    expect([order(plan), plan.reason]).toEqual([['near', 'far'], 'override-nearest'])
  })

  test('sticky: the same key the same order, whoever else is there; keys spread', () => {
    const homes = Array.from({ length: 300 }, (_, i) => {
      const sticky = { routing: 'sticky', stickyKey: `key ${i}` } as const
      const home = order(makePlan(input(three, sticky)))[0]
      const without = three.filter(({ config }) => config.cluster !== home)
      expect(order(makePlan(input(three.toReversed(), sticky)))[0]).toBe(home)
      expect(order(makePlan(input(three, sticky))).slice(1)).toEqual(order(makePlan(input(without, sticky))))
      return home
    })
    for (const { config } of three) {
      expect(homes.filter((home) => home === config.cluster).length).toBeGreaterThan(60)
    }
  })

  test('random follows its argument', () => {
    const draws = [0.9, 0.1, 0.5]
    const plan = makePlan(input(three, { routing: 'random', random: () => draws.shift() ?? 0 }))
    expect(order(plan)).toEqual(['far', 'other', 'near'])
  })
})

test('no plan names a cluster that policy forbids, and every cluster is planned or rejected, once', () => {
  const regions = ['near', 'far', 'other', 'fourth']
  const anyKnown = fc.record({
    matchedBytes: fc.nat(PROMPT_BYTES),
    tier: fc.nat(15),
    loadAgeMs: fc.oneof(fc.nat(10_000), fc.constant(Infinity)),
    draining: fc.boolean(),
    hasOffer: fc.boolean(),
    endpoints: fc.nat(2),
    backlogMs: fc.oneof(fc.nat(100_000), fc.constant(Infinity)),
    kvPressure: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  const anyCandidate = fc.record({
    region: fc.constantFrom(...regions),
    rttMs: fc.nat(300),
    known: fc.option(anyKnown),
    booked: fc.record({ prefillMs: fc.nat(1000), decodersMs: fc.constant([]) }),
    speculativeBytes: fc.nat(PROMPT_BYTES),
    isBreakerOpen: fc.boolean(),
    isRegionDrained: fc.boolean(),
    jurisdiction: fc.constantFrom('eu', 'us', null),
  })
  fc.assert(
    fc.property(
      fc.array(anyCandidate, { maxLength: 16 }),
      fc.subarray(regions, { minLength: 1 }),
      fc.constantFrom(...ROUTINGS),
      fc.constantFrom('directory' as const, 'recent-load' as const, 'none' as const),
      fc.option(fc.subarray(['eu', 'us'], { minLength: 1 })),
      fc.option(fc.constantFrom('near-0', 'far-1')),
      fc.boolean(),
      (many, allowed, routing, knowledge, residency, pinnedCluster, isShared) => {
        const candidates = many.map(({ region, rttMs, known: k, ...change }, i) => {
          const cluster = `${region}-${i}`
          const known_ = k
            ? known(cluster, {
                ...k,
                ...(k.hasOffer ? {} : { offer: null }),
                loads: { endpoints: k.endpoints, backlogMs: k.backlogMs, kvPressure: k.kvPressure },
              })
            : { cluster, state: 'unknown' as const }
          return candidate(cluster, rttMs, known_, change)
        })
        const plan = makePlan(
          input(candidates, {
            policy: { ...POLICY, regions: allowed, residency },
            routing,
            knowledge,
            pinnedCluster,
            isShared,
            draw: 0,
          }),
        )
        for (const { candidate: chosen } of plan.entries) {
          expect(allowed).toContain(chosen.config.region)
          if (residency) expect(residency).toContain(chosen.jurisdiction)
          if (pinnedCluster) expect(chosen.config.cluster).toBe(pinnedCluster)
        }
        const named = [...order(plan), ...plan.rejected.map(({ cluster }) => cluster)].sort()
        expect(named).toEqual(candidates.map(({ config }) => config.cluster).sort())
        expect(plan.reason === null).toBe(plan.entries.length === 0)
        for (const { terms } of plan.entries) {
          const { totalMs, ...parts } = terms
          if (routing !== 'isotherm') continue
          expect(totalMs).toBeCloseTo(Object.values(parts).reduce((sum, part) => sum + part, 0))
        }
      },
    ),
    { numRuns: 500 },
  )
})
