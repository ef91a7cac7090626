/**
 * The Worker of `npm run bench -- directory`: the production directory object beside one that does nothing, and loops that
 * call both, so that a ratio compares the calls and nothing else. Never deployed.
 */
import { DurableObject } from 'cloudflare:workers'
import type { DirectoryRpc } from '../protocol/lookup.ts'
import { decodeAnswer, encodeBatch } from '../protocol/lookup-wire.ts'
import { DirectoryFacts } from '../worker/memory/directory-facts.ts'
import { benchKey, BENCH_MODEL } from './directory-keys.ts'

export { CacheDirectory } from '../directory/cache-directory.ts'

export class NothingObject extends DurableObject {
  async nothing(): Promise<void> {}
}

interface Bindings {
  readonly DIRECTORY: DurableObjectNamespace
  readonly NOTHING: DurableObjectNamespace
}

type Directory = DirectoryRpc & Pick<Fetcher, 'fetch'>

const MARKERS = 64

export default {
  async fetch(request: Request, { DIRECTORY, NOTHING }: Bindings): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    const number = (name: string) => Number(searchParams.get(name) ?? 0)
    const directory = DIRECTORY.get(DIRECTORY.idFromName('bench')) as unknown as Directory
    if (pathname === '/agent') return directory.fetch(request)
    if (pathname === '/probe') {
      const markers = Uint32Array.from([256, number('lo'), number('hi')])
      const known = (await ask(directory, markers))
        .flat()
        .flatMap((cluster) => (cluster.state === 'known' ? cluster.matchedBytes : []))
      return Response.json(Math.max(...known))
    }
    const questions = number('questions')
    const nothing = NOTHING.get(NOTHING.idFromName('bench')) as unknown as Pick<NothingObject, 'nothing'>
    const call =
      searchParams.get('kind') === 'lookup'
        ? (i: number) =>
            ask(
              directory,
              ...Array.from({ length: questions }, (_, at) =>
                markersAt(i * questions + at, number('entries')),
              ),
            )
        : () => nothing.nothing()
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

/** As the edge asks: what this isolate was told before need not come again. */
const facts = new DirectoryFacts()

async function ask(directory: Directory, ...prompts: readonly Uint32Array[]) {
  const models = prompts.map(() => BENCH_MODEL)
  const batch = {
    isolate: 1,
    colo: 'IAD',
    questions: prompts.map((markers) => ({ model: BENCH_MODEL, markers })),
    bookings: [],
    sightings: [],
    known: facts.versions([BENCH_MODEL]),
  }
  const answer = decodeAnswer(await directory.lookup(encodeBatch(batch)))
  return (answer && facts.unpack(models, answer)) ?? []
}

/** A prompt whose first half is resident. */
function markersAt(call: number, entries: number): Uint32Array {
  const markers = new Uint32Array(MARKERS * 3)
  for (let i = 0; i < MARKERS; i++) {
    const [lo, hi] = benchKey(i < MARKERS / 2 ? (call * MARKERS + i * 7919) % entries : entries + call + i)
    markers.set([(i + 1) * 256, lo, hi], i * 3)
  }
  return markers
}
