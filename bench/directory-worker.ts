/**
 * The Worker of `npm run bench -- directory`: the production directory object beside one that does nothing, and loops that
 * call both, so that a ratio compares the calls and nothing else. Never deployed.
 */
import { DurableObject } from 'cloudflare:workers'
import type { DirectoryRpc, LookupBatch } from '../protocol/lookup.ts'
import { decodeAnswer } from '../protocol/lookup-packing.ts'
import { encodeBatch } from '../protocol/lookup-wire.ts'
import { DirectoryFacts } from '../worker/memory/directory-facts.ts'
import { textOfUnits } from '../directory/text-of-units.ts'
import { benchKey, BENCH_MODEL } from './directory-keys.ts'

export { CacheDirectory } from '../directory/cache-directory.ts'

export class NothingObject extends DurableObject {
  async nothing(): Promise<void> {}

  /** Takes a string as long as a lookup, gives one as long as its answer, and looks at neither. */
  async text(_given: string, answerUnits: number): Promise<string> {
    return ANSWER.slice(0, answerUnits)
  }
}

interface Bindings {
  readonly DIRECTORY: DurableObjectNamespace
  readonly NOTHING: DurableObjectNamespace
}

type Directory = DirectoryRpc & Pick<Fetcher, 'fetch'>

type Nothing = Pick<NothingObject, 'nothing' | 'text'>

const MARKERS = 64
const PROMPTS = 1024
/** Of an answer about eight clusters to one question. */
const ANSWER_UNITS = 64
const ANSWER = '\u{1234}'.repeat(ANSWER_UNITS * 8)

export default {
  async fetch(request: Request, { DIRECTORY, NOTHING }: Bindings): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    const number = (name: string) => Number(searchParams.get(name) ?? 0)
    const directory = DIRECTORY.get(DIRECTORY.idFromName('bench')) as unknown as Directory
    if (pathname === '/agent') return directory.fetch(request)
    if (pathname === '/probe') {
      const markers = Uint32Array.from([256, number('lo'), number('hi')])
      const known = (await ask(directory, [markers]))
        .flat()
        .flatMap((cluster) => (cluster.state === 'known' ? cluster.matchedBytes : []))
      return Response.json(Math.max(...known))
    }
    const questions = promptsOf(number('questions'), number('entries'))
    const nothing = NOTHING.get(NOTHING.idFromName('bench')) as unknown as Nothing
    const call = await caller(String(searchParams.get('kind')), directory, nothing, questions)
    const startMs = performance.now()
    let next = 0
    await Promise.all(
      Array.from({ length: number('concurrency') }, async () => {
        while (next < number('count')) await call(next++)
      }),
    )
    return Response.json(performance.now() - startMs)
  },
}

/** Made before any time is taken: an edge has its markers anyhow. `count` prompts a call, of which the first half is resident. */
const prompts = new Map<number, readonly (readonly Uint32Array[])[]>()

function promptsOf(count: number, entries: number): readonly (readonly Uint32Array[])[] {
  const known = prompts.get(count)
  if (known) return known
  const made = Array.from({ length: PROMPTS / count }, (_, call) =>
    Array.from({ length: count }, (_q, at) => markersAt(call * count + at, entries)),
  )
  prompts.set(count, made)
  return made
}

function markersAt(call: number, entries: number): Uint32Array {
  const markers = new Uint32Array(MARKERS * 3)
  for (let i = 0; i < MARKERS; i++) {
    const [lo, hi] = benchKey(i < MARKERS / 2 ? (call * MARKERS + i * 7919) % entries : entries + call + i)
    markers.set([(i + 1) * 256, lo, hi], i * 3)
  }
  return markers
}

/** One call of each kind. */
async function caller(
  kind: string,
  directory: Directory,
  nothing: Nothing,
  calls: readonly (readonly Uint32Array[])[],
): Promise<(i: number) => Promise<unknown>> {
  const at = (i: number) => calls[i % calls.length] ?? []
  if (kind === 'nothing') return () => nothing.nothing()
  if (kind === 'asked') return (i) => ask(directory, at(i))
  if (kind === 'lookup') {
    if (encoded.length === 0) {
      // The batches say which facts the isolate has: first it has some.
      await ask(directory, at(0))
      encoded = calls.map((questions) => textOfUnits(encodeBatch(batchOf(questions))))
      // What the directory does not understand it answers with nothing, and soon.
      if (decodeAnswer(await directory.lookup(encoded[0] ?? '')) === null) throw new Error('no answer')
    }
    return (i) => directory.lookup(encoded[i % encoded.length] ?? '')
  }
  const given = textOfUnits(encodeBatch(batchOf(at(0))))
  const answerUnits = ANSWER_UNITS * at(0).length
  return () => nothing.text(given, answerUnits)
}

/** Batches of one question, made before any time is taken. */
let encoded: readonly string[] = []

/** As the edge asks: what this isolate was told before need not come again. */
const facts = new DirectoryFacts()

async function ask(directory: Directory, questions: readonly Uint32Array[]) {
  const models = questions.map(() => BENCH_MODEL)
  const answer = decodeAnswer(await directory.lookup(textOfUnits(encodeBatch(batchOf(questions)))))
  return (answer && facts.unpack(models, answer)) ?? []
}

function batchOf(questions: readonly Uint32Array[]): LookupBatch {
  return {
    isolate: 1,
    colo: 'IAD',
    questions: questions.map((markers) => ({ model: BENCH_MODEL, markers })),
    bookings: [],
    sightings: [],
    known: facts.versions(questions.map(() => BENCH_MODEL)),
  }
}
