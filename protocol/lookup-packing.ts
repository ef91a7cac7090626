/**
 * Answers to lookups as they cross the call of an object. What changes with each question travels as numbers; what changes
 * with heartbeats only, offers and loads, travels when the asking isolate has not got it yet, cluster by cluster: an
 * isolate that asks often would otherwise spend most of a call on words that it knows.
 *
 *     u16 wire | f64 version of the facts | u32 length, JSON of what is new | for each question and known cluster:
 *     u32 matched bytes | u16 nibble and flags | u32 age | u32 age of the load, both in ms
 *       | f64 speculative bytes | f64 rtt | u16 count, f64 booked ms ...     each only where its flag is set
 */
import { UnitReader, UnitWriter } from './code-units.ts'
import type { ClusterKnowledge } from './lookup.ts'
import { LOOKUP_WIRE } from './lookup-wire.ts'
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

/** What changed of a model's facts since the version `base`; without one `clusters` are all there are, in order. */
export interface FactsUpdate {
  readonly model: string
  readonly base: number | null
  /** The place of each in the list of all clusters, and what is said of it from now on. */
  readonly clusters: readonly (readonly [index: number, facts: ClusterFacts])[]
}

/** What a call tells that the isolate does not know yet. */
export interface News {
  readonly facts: readonly FactsUpdate[]
  /** Versions of documents elsewhere (policies, say), by the name under which the directory was told of them. */
  readonly versions?: Readonly<Record<string, number>>
}

/** What is said of one cluster and one question. */
export interface Reading {
  matchedBytes: number
  tier: number
  hasCopies: boolean
  ageMs: number
  loadAgeMs: number
  isFailing: boolean
  speculativeBytes: number | null
  rttMs: number | null
  othersBookedMs: readonly number[]
}

export interface LookupAnswer extends News {
  /** Of all facts of the object: another one after each change of any. */
  readonly factsVersion: number
  /** The readings, not looked at yet. */
  readonly text: string
  readonly readingsAt: number
}

const HAS_COPIES = 8
const IS_FAILING = 16
const HAS_SPECULATION = 32
const HAS_RTT = 64
const HAS_BOOKINGS = 128
const TIER_MASK = 7
const U32_MAX = 0xffffffff

const READER = new UnitReader()
const NO_NEWS: News = { facts: [] }
const NO_BOOKINGS: readonly number[] = []

/** Begins an answer; the readings follow, question by question, of known clusters only. `news` null: nothing is new. */
export function beginAnswer(out: UnitWriter, factsVersion: number, news: News | null): void {
  out.u16(LOOKUP_WIRE)
  out.f64(factsVersion)
  out.text(news === null ? '' : JSON.stringify(news))
}

/** Ages are told in whole milliseconds. */
export function writeReading(out: UnitWriter, reading: Reading): void {
  const { speculativeBytes, rttMs, othersBookedMs } = reading
  out.u32(Math.min(reading.matchedBytes, U32_MAX))
  out.u16(
    (reading.tier & TIER_MASK) |
      (reading.hasCopies ? HAS_COPIES : 0) |
      (reading.isFailing ? IS_FAILING : 0) |
      (speculativeBytes === null ? 0 : HAS_SPECULATION) |
      (rttMs === null ? 0 : HAS_RTT) |
      (othersBookedMs.length === 0 ? 0 : HAS_BOOKINGS),
  )
  out.u32(Math.min(Math.round(reading.ageMs), U32_MAX))
  out.u32(Math.min(Math.round(reading.loadAgeMs), U32_MAX))
  if (speculativeBytes !== null) out.f64(speculativeBytes)
  if (rttMs !== null) out.f64(rttMs)
  if (othersBookedMs.length === 0) return
  out.u16(othersBookedMs.length)
  for (const workMs of othersBookedMs) out.f64(workMs)
}

/** null for anything that is no answer. */
export function decodeAnswer(text: string): LookupAnswer | null {
  const from = READER.restart(text)
  if (from.u16() !== LOOKUP_WIRE) return null
  const factsVersion = from.f64()
  const json = from.text()
  if (from.isShort) return null
  const news = json === '' ? NO_NEWS : parseNews(json)
  if (news === null) return null
  // Literals keep their shape alive (`UnitReader`); what a spread makes does not.
  const { facts, versions } = news
  return versions === undefined
    ? { factsVersion, facts, text, readingsAt: from.at }
    : { factsVersion, facts, versions, text, readingsAt: from.at }
}

/** null when the isolate lacks facts that the directory takes it to have, or the readings are not as many as they should be. */
export function unpackAnswers(
  models: readonly string[],
  { text, readingsAt }: LookupAnswer,
  factsOfModel: (model: string) => readonly ClusterFacts[] | null,
): ClusterKnowledge[][] | null {
  const from = READER.restart(text, readingsAt)
  const answers: ClusterKnowledge[][] = []
  for (const model of models) {
    const facts = factsOfModel(model)
    if (facts === null) return null
    answers.push(facts.map((fact) => readCluster(from, fact)))
  }
  return from.isAtEnd ? answers : null
}

/** The facts after the update; null when it changes some that are not there. */
export function applyUpdate(
  { base, clusters }: FactsUpdate,
  factsAt: (version: number) => readonly ClusterFacts[] | undefined,
): readonly ClusterFacts[] | null {
  if (base === null) return clusters.map(([, facts]) => facts)
  const known = factsAt(base)
  if (!known || clusters.some(([index]) => index >= known.length)) return null
  const facts = [...known]
  for (const [index, changed] of clusters) facts[index] = changed
  return facts
}

/** Only a directory writes it, so its fields are not looked at one by one. */
function parseNews(json: string): News | null {
  try {
    const news = JSON.parse(json) as News
    return Array.isArray(news?.facts) ? news : null
  } catch {
    return null
  }
}

function readCluster(from: UnitReader, facts: ClusterFacts): ClusterKnowledge {
  const { cluster, state, draining, offer, load } = facts
  if (state === 'unknown') return facts.hasLeft ? { cluster, state, hasLeft: true } : { cluster, state }
  const matchedBytes = from.u32()
  const flags = from.u16()
  const ageMs = from.u32()
  const loadAgeMs = from.u32()
  const tier = flags & TIER_MASK
  const plain = { cluster, state, matchedBytes, tier, ageMs, draining, offer, load, loadAgeMs }
  return flags <= TIER_MASK ? plain : withRest(plain, flags, from)
}

function withRest(
  plain: Extract<ClusterKnowledge, { state: 'known' }>,
  flags: number,
  from: UnitReader,
): ClusterKnowledge {
  const speculativeBytes = flags & HAS_SPECULATION ? from.f64() : null
  const rttMs = flags & HAS_RTT ? from.f64() : null
  const othersBookedMs = flags & HAS_BOOKINGS ? readBookings(from) : NO_BOOKINGS
  return {
    ...plain,
    ...(flags & HAS_COPIES ? { copies: 'several' } : {}),
    ...(flags & IS_FAILING ? { isFailing: true } : {}),
    ...(speculativeBytes === null ? {} : { othersSpeculativeBytes: speculativeBytes }),
    ...(rttMs === null ? {} : { rttMs }),
    ...(othersBookedMs.length === 0 ? {} : { othersBookedMs }),
  }
}

function readBookings(from: UnitReader): number[] {
  const booked: number[] = []
  for (let left = from.u16(); left > 0 && !from.isShort; left--) booked.push(from.f64())
  return booked
}
