/**
 * Answers to lookups as they cross the wire. What changes with each question travels as numbers in one array; what changes
 * with heartbeats only, offers and loads, travels when the asking isolate has not got it yet: an isolate that asks often
 * would otherwise spend most of a call on words that it knows.
 */
import type { ClusterKnowledge } from './lookup.ts'
import type { ModelLoad, ModelOffer } from './report.ts'

/** What a directory has said of one cluster and one model. */
export interface ClusterFacts {
  readonly cluster: string
  readonly state: 'known' | 'unknown'
  readonly hasLeft: boolean
  readonly draining: boolean
  readonly offer: ModelOffer | null
  readonly load: ModelLoad | null
}

/** The version of the facts that an isolate has, by model. */
export type FactVersions = Readonly<Record<string, number>>

export interface PackedAnswers {
  /** Of all facts of the object: another one after each change of any. */
  readonly factsVersion: number
  /** For each model of which the isolate has another version. */
  readonly facts: readonly { readonly model: string; readonly clusters: readonly ClusterFacts[] }[]
  /** For each question and cluster `NUMBERS_A_CLUSTER` numbers. */
  readonly numbers: Float64Array
  /** Work that others have booked, for each question and cluster; null when there is none. */
  readonly bookedMs: readonly (readonly (readonly number[])[])[] | null
}

const NUMBERS_A_CLUSTER = 7
const NONE = -1

type Known = Extract<ClusterKnowledge, { state: 'known' }>

/** `models` are those of the questions. All answers name the same clusters in the same order. */
export function packAnswers(
  models: readonly string[],
  answers: readonly (readonly ClusterKnowledge[])[],
  factsVersion: number,
  known: FactVersions,
): PackedAnswers {
  const clusters = answers[0]?.length ?? 0
  const numbers = new Float64Array(answers.length * clusters * NUMBERS_A_CLUSTER)
  const facts: { model: string; clusters: readonly ClusterFacts[] }[] = []
  let at = 0
  let isBooked = false
  for (const [index, answer] of answers.entries()) {
    const model = models[index] ?? ''
    if (known[model] !== factsVersion && !facts.some((fact) => fact.model === model)) {
      facts.push({ model, clusters: answer.map(factsOf) })
    }
    for (const cluster of answer) {
      if (cluster.state === 'known') {
        writeNumbers(numbers, at, cluster)
        isBooked ||= cluster.othersBookedMs !== undefined
      }
      at += NUMBERS_A_CLUSTER
    }
  }
  const bookedMs = isBooked ? answers.map((answer) => answer.map(bookedOf)) : null
  return { factsVersion, facts, numbers, bookedMs }
}

/** null when the isolate lacks facts that the directory takes it to have, or the numbers are not as many as they should be. */
export function unpackAnswers(
  models: readonly string[],
  { numbers, bookedMs }: PackedAnswers,
  factsOfModel: (model: string) => readonly ClusterFacts[] | null,
): ClusterKnowledge[][] | null {
  const answers: ClusterKnowledge[][] = []
  let at = 0
  for (const [index, model] of models.entries()) {
    const facts = factsOfModel(model)
    if (facts === null) return null
    answers.push(
      facts.map((fact, cluster) => {
        const knowledge = readCluster(fact, numbers, at, bookedMs?.[index]?.[cluster] ?? [])
        at += NUMBERS_A_CLUSTER
        return knowledge
      }),
    )
  }
  return at === numbers.length ? answers : null
}

function factsOf(knowledge: ClusterKnowledge): ClusterFacts {
  const { cluster, state } = knowledge
  if (state === 'unknown') {
    return { cluster, state, hasLeft: knowledge.hasLeft === true, draining: false, offer: null, load: null }
  }
  const { draining, offer, load } = knowledge
  return { cluster, state, hasLeft: false, draining, offer, load }
}

function bookedOf(knowledge: ClusterKnowledge): readonly number[] {
  return knowledge.state === 'known' ? (knowledge.othersBookedMs ?? []) : []
}

function writeNumbers(numbers: Float64Array, at: number, known: Known): void {
  numbers[at] = known.matchedBytes
  numbers[at + 1] = known.tier + (known.copies === 'several' ? 8 : 0)
  numbers[at + 2] = known.ageMs
  numbers[at + 3] = known.loadAgeMs
  numbers[at + 4] = known.othersSpeculativeBytes ?? NONE
  numbers[at + 5] = known.rttMs ?? NONE
  numbers[at + 6] = known.isFailing === true ? 1 : 0
}

function readCluster(
  { cluster, state, hasLeft, draining, offer, load }: ClusterFacts,
  numbers: Float64Array,
  at: number,
  othersBookedMs: readonly number[],
): ClusterKnowledge {
  if (state === 'unknown') return { cluster, state, ...(hasLeft ? { hasLeft } : {}) }
  const number = (field: number) => numbers[at + field] ?? 0
  const nibble = number(1)
  const speculativeBytes = number(4)
  const rttMs = number(5)
  return {
    cluster,
    state,
    matchedBytes: number(0),
    tier: nibble & 7,
    ...(nibble >= 8 ? { copies: 'several' } : {}),
    ageMs: number(2),
    draining,
    offer,
    load,
    loadAgeMs: number(3),
    ...(othersBookedMs.length === 0 ? {} : { othersBookedMs }),
    ...(speculativeBytes < 0 ? {} : { othersSpeculativeBytes: speculativeBytes }),
    ...(rttMs < 0 ? {} : { rttMs }),
    ...(number(6) === 0 ? {} : { isFailing: true }),
  }
}
