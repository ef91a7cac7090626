/**
 * What a lookup costs beside calls of an object that does nothing: `nothing` carries nothing either, `text` carries as
 * much each way as the lookup does. `lookup` is the call alone, `asked` with what the edge does before and after it. All
 * take turns: in a loop inside a Worker, and as requests of one call each.
 */
import { CALL_ROUNDS, CLUSTERS, ENTRIES, MARKERS, median, pairedRatio } from './figures.ts'

const CALLS = 1600
const CONCURRENCY = 16
/** Requests that share a call, as the edge's do under load. */
const SHARED = 8
const REQUESTS = 500

const SUBJECTS = {
  nothing: { kind: 'nothing', questions: 1 },
  text: { kind: 'text', questions: 1 },
  lookup: { kind: 'lookup', questions: 1 },
  asked: { kind: 'asked', questions: 1 },
  textOfEight: { kind: 'text', questions: SHARED },
  askedOfEight: { kind: 'asked', questions: SHARED },
} as const
type Name = keyof typeof SUBJECTS
type Read = (url: string) => Promise<string>

export async function measureCalls(origin: string, read: Read) {
  console.error('calls')
  const names = Object.keys(SUBJECTS) as Name[]
  const inLoop = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  const asRequests: typeof inLoop = structuredClone(inLoop)
  for (let round = 0; round <= CALL_ROUNDS; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const callsPerS = await loopRate(origin, read, name)
      const requestsPerS = await requestRate(origin, read, name)
      // The first round only warms up.
      if (round === 0) continue
      inLoop[name].push(callsPerS)
      asRequests[name].push(requestsPerS)
    }
  }
  return {
    markers: MARKERS,
    clusters: CLUSTERS,
    loop: summary(inLoop),
    oneCallARequest: summary(asRequests),
  }
}

/** Calls a second, and as ratios to a call of the same kind of traffic that does nothing. */
function summary(rates: Readonly<Record<Name, readonly number[]>>) {
  return {
    callsPerS: Object.fromEntries(
      Object.entries(rates).map(([name, perS]) => [name, Math.round(median(perS))]),
    ),
    lookupToNothing: pairedRatio(rates.lookup, rates.nothing),
    lookupToText: pairedRatio(rates.lookup, rates.text),
    askedToNothing: pairedRatio(rates.asked, rates.nothing),
    askedToText: pairedRatio(rates.asked, rates.text),
    textToNothing: pairedRatio(rates.text, rates.nothing),
    askedOfEightToTextOfEight: pairedRatio(rates.askedOfEight, rates.textOfEight),
    askedOfEightToNothing: pairedRatio(rates.askedOfEight, rates.nothing),
    questionsOfEightToNothing: pairedRatio(
      rates.askedOfEight.map((perS) => perS * SHARED),
      rates.nothing,
    ),
  }
}

async function loopRate(origin: string, read: Read, name: Name): Promise<number> {
  return (CALLS / Number(await read(callsUrl(origin, name, CALLS, CONCURRENCY)))) * 1000
}

/** Requests a second of which each makes one call, as the edge's do. */
async function requestRate(origin: string, read: Read, name: Name): Promise<number> {
  const url = callsUrl(origin, name, 1, 1)
  const startMs = performance.now()
  let next = 0
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      while (next++ < REQUESTS) await read(url)
    }),
  )
  return (REQUESTS / (performance.now() - startMs)) * 1000
}

function callsUrl(origin: string, name: Name, count: number, concurrency: number): string {
  const { kind, questions } = SUBJECTS[name]
  const entries = String(ENTRIES)
  const query = new URLSearchParams({
    kind,
    questions: String(questions),
    count: String(count),
    concurrency: String(concurrency),
    entries,
  })
  return `${origin}/calls?${query.toString()}`
}
