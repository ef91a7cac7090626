/** Scenarios and traces as files. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { parseTraceLine, type TraceRequest } from '../cli/replay/trace.ts'
import { parseScenario, type Scenario } from './scenario/scenario.ts'

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'scenarios')

export interface ScenarioFile {
  readonly source: string
  readonly raw: unknown
  readonly scenario: Scenario
}

export function scenarioNames(): string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => name.slice(0, -'.yaml'.length))
    .toSorted()
}

/** Throws an error that says what is wrong with the file, by field. */
export function readScenario(nameOrPath: string): ScenarioFile {
  const own = join(FOLDER, `${nameOrPath}.yaml`)
  const path = existsSync(own) ? own : nameOrPath
  if (!existsSync(path)) {
    throw new Error(`no scenario '${nameOrPath}'; there are ${scenarioNames().join(', ')}, or give a file`)
  }
  let raw: unknown
  try {
    raw = parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new Error(`${path} is not YAML: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
  return { source: path, raw, scenario: parseScenario(raw, path) }
}

/** The requests of a trace file in Mooncake's format, by time. */
export function readTrace(path: string): TraceRequest[] {
  if (!existsSync(path)) throw new Error(`no trace at ${path}`)
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line, index) => (line.trim() === '' ? [] : [parseTraceLine(line, index + 1)]))
    .toSorted((a, b) => a.timestampMs - b.timestampMs)
}
