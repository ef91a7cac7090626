/** What was recorded from a real vLLM (test/fixtures/vllm/README.md), read and typed. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../cli/root.ts'

const FOLDER = join(ROOT, 'test/fixtures/vllm')
export const RECORDED_VERSIONS = ['v0.32.0', 'v0.23.0'] as const
export type RecordedVersion = (typeof RECORDED_VERSIONS)[number]

export interface RecordedMessage {
  readonly frames: readonly Uint8Array[]
  readonly seq: number
  /** The batch as the recorder decoded it. */
  readonly payload: readonly [number, readonly unknown[], ...unknown[]]
}

export interface RecordedExchange {
  readonly name: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers?: Readonly<Record<string, string>>
    readonly json?: Record<string, unknown>
  }
  readonly response: {
    readonly status: number
    readonly headers: [string, string][]
    readonly json?: Record<string, unknown>
    readonly body?: string
  }
}

/** Names of the event recordings, without the replay. */
export function eventSteps(version: RecordedVersion): string[] {
  return readdirSync(join(FOLDER, version))
    .filter((name) => name.startsWith('events-') && name !== 'events-replay.jsonl')
    .map((name) => name.slice('events-'.length, -'.jsonl'.length))
    .toSorted()
}

export function readEvents(version: RecordedVersion, step: string): RecordedMessage[] {
  return readLines(version, `events-${step}.jsonl`).map((line) => {
    const { frames, seq, payload } = line as {
      frames: string[]
      seq: number
      payload: RecordedMessage['payload']
    }
    return { frames: frames.map((hex) => Uint8Array.from(Buffer.from(hex, 'hex'))), seq, payload }
  })
}

export function readLines(version: RecordedVersion, file: string): unknown[] {
  const text = readFileSync(join(FOLDER, version, file), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown)
}

export function readExchanges(version: RecordedVersion, step: string): RecordedExchange[] {
  return JSON.parse(readFileSync(join(FOLDER, version, `http-${step}.json`), 'utf8')) as RecordedExchange[]
}

export function readText(version: RecordedVersion, file: string): string {
  return readFileSync(join(FOLDER, version, file), 'utf8')
}
