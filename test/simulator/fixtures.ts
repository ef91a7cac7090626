/** Reads the recorded exchanges and event frames of test/fixtures/vllm. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { EngineVersion } from '../../simulator/wire/engine-version.ts'

const ROOT = fileURLToPath(new URL('../fixtures/vllm', import.meta.url))

// oxlint-disable-next-line typescript/no-explicit-any -- JSON of many shapes, which tests only compare
export type AnyJson = any

export interface Exchange {
  readonly name: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers?: Readonly<Record<string, string>>
    readonly json?: AnyJson
    readonly body?: string
  }
  readonly response: {
    readonly status: number
    readonly headers: readonly (readonly [string, string])[]
    readonly json?: AnyJson
    readonly body?: string
  }
}

export interface RecordedBatch {
  readonly frames: readonly string[]
  readonly seq: number
  readonly payload: readonly [number, readonly AnyJson[], number]
}

export function exchanges(version: EngineVersion, step: string): Exchange[] {
  return JSON.parse(readFileSync(`${ROOT}/v${version}/http-${step}.json`, 'utf8'))
}

export function eventLines(version: EngineVersion, step: string): AnyJson[] {
  const text = readFileSync(`${ROOT}/v${version}/events-${step}.jsonl`, 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

export function batches(version: EngineVersion, step: string): RecordedBatch[] {
  return eventLines(version, step)
}

/** The JSON type of each field, by path: what a client that reads the value can tell of its shape. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])]
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shapeOf(item)]))
  }
  return value === null ? 'null' : typeof value
}
