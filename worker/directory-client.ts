/**
 * Asks the region's directory and never waits long: past the bound the request goes on with load a moment old, or with
 * nothing. It never throws: a directory that is slow, restarting or gone costs hits, not answers.
 */
import { textOfUnits } from '../directory/text-of-units.ts'
import type { ClusterKnowledge, DirectoryModels, LookupBatch, LookupRequest } from '../protocol/lookup.ts'
import { decodeAnswer } from '../protocol/lookup-packing.ts'
import { encodeBatch } from '../protocol/lookup-wire.ts'
import type { DirectoryObject } from './directory-objects.ts'
import type { Edge } from './env.ts'
import type { Turn } from './memory/lookup-desk.ts'
import { settledWithin, type SettledWithin } from './settled-within.ts'

/** Nobody prefills while a list of models is awaited. */
const MODELS_MS_MAX = 1000

export interface Knowledge {
  readonly source: 'directory' | 'recent-load' | 'none'
  readonly clusters: readonly ClusterKnowledge[]
}

type Clusters = readonly ClusterKnowledge[]

export async function askDirectory(
  edge: Edge,
  region: string,
  request: LookupRequest,
  settles: SettledWithin,
): Promise<Knowledge> {
  const copy = edge.recentLookups.copy(region, request, Date.now())
  if (copy !== null) return { source: 'directory', clusters: copy }
  const asking = lookUp(edge, region, request)
  if (await settles(asking, edge.config.lookupTimeoutMs)) {
    const clusters = await asking
    if (clusters !== null) return { source: 'directory', clusters }
  } else {
    edge.counters.count('lookupsTimedOut')
  }
  const recent = edge.recentLookups.recall(region, request.model, Date.now())
  return recent === null ? { source: 'none', clusters: [] } : { source: 'recent-load', clusters: recent }
}

/** null when the directory fails. An answer that comes too late for this request still serves the next. */
async function lookUp(edge: Edge, region: string, request: LookupRequest): Promise<Clusters | null> {
  const object = edge.directories.forPrompt(region, request)
  if (!object) return []
  const clusters = await askInTurn(edge, region, object, request)
  if (clusters !== null) edge.recentLookups.remember(region, request, clusters, Date.now())
  return clusters
}

/** Asks for everybody who waits, or lets somebody else ask. */
async function askInTurn(
  edge: Edge,
  region: string,
  object: DirectoryObject,
  request: LookupRequest,
): Promise<Clusters | null> {
  const desk = edge.directoryMemory.desk(object.name)
  if (!desk.mayLead(Date.now())) {
    const turn = await new Promise<Turn<Clusters>>((resolve) => desk.wait(request, resolve))
    if (turn.kind === 'answer') return turn.answer
  }
  const flight = desk.depart(request, Date.now())
  let answers: readonly Clusters[] | null = null
  try {
    const models = flight.questions.map(({ model }) => model)
    const batch = packBatch(edge, region, object, flight.questions, models)
    const answer = decodeAnswer(await object.open().lookup(textOfUnits(encodeBatch(batch))))
    if (answer !== null) {
      if (answer.versions) edge.versions.learn(answer.versions)
      answers = edge.directoryMemory.facts(object.name).unpack(models, answer)
    }
  } catch {
    edge.counters.count('lookupsFailed')
  } finally {
    desk.land(flight, answers, Date.now())
  }
  return answers?.[0] ?? null
}

function packBatch(
  edge: Edge,
  region: string,
  { name }: DirectoryObject,
  questions: readonly LookupRequest[],
  models: readonly string[],
): LookupBatch {
  const { directoryMemory, clusters, regions, roundTrips } = edge
  const { isolate, notes, sightings } = directoryMemory
  const seedsMs = regions.get(region)?.rttMs ?? {}
  const rttMs = (cluster: string) =>
    roundTrips.estimateMs(region, cluster, seedsMs[cluster], clusters.get(cluster)?.region === region)
  return {
    isolate,
    colo: directoryMemory.colo(region),
    questions,
    bookings: notes.take(name, rttMs, Date.now()),
    sightings: sightings.take(region, [...clusters.keys()]),
    known: directoryMemory.facts(name).versions(models),
  }
}

/** What the clusters serve, or null when the directory does not say within a second. */
export async function askModels(edge: Edge, region: string): Promise<DirectoryModels['clusters'] | null> {
  const [object] = edge.directories.all(region)
  const asking = (object?.open().models() ?? Promise.resolve({ clusters: [] })).then(
    ({ clusters }) => clusters,
    () => null,
  )
  return (await settledWithin(asking, MODELS_MS_MAX)) ? asking : null
}
