/** `npm run bench -- agent`: what the agent costs, part by part. */
import { writeFile } from 'node:fs/promises'
import { benchDecision } from './agent-decision.ts'
import { benchAgentIndex } from './agent-index.ts'
import { benchRelay } from './agent-relay.ts'
import { describeMachine } from './machine.ts'

export interface BenchAgentOptions {
  readonly parts: string
  readonly rounds: number
  readonly seconds: number
  readonly gateway?: string
  readonly json?: string
}

export async function benchAgent({ parts, json, ...options }: BenchAgentOptions): Promise<void> {
  const wanted = new Set(parts.split(','))
  const result: Record<string, unknown> = { machine: describeMachine() }
  if (wanted.has('index')) await benchAgentIndex({})
  if (wanted.has('decision')) {
    const rows = await benchDecision()
    console.table(rows)
    result['decision'] = rows
  }
  if (wanted.has('relay')) {
    const rows = await benchRelay(options)
    console.table(rows)
    result['relay'] = rows
  }
  if (json) await writeFile(json, `${JSON.stringify(result, null, 2)}\n`)
}
