/**
 * The regional directory: its map in this process, and the whole object on bare workerd with the agent's own report
 * streams, lookups beside a call that does nothing. Nothing is asserted.
 */
import { writeFile } from 'node:fs/promises'
import { measureMap } from './directory/map.ts'
import { measureObject } from './directory/object.ts'
import { describeMachine } from './machine.ts'

interface Options {
  readonly json?: string | true
  readonly parts: string
}

export async function benchDirectory({ json, parts }: Options): Promise<void> {
  const asked = parts.split(',')
  const result = {
    machine: describeMachine(),
    ...(asked.includes('map') ? { map: measureMap() } : {}),
    object: await measureObject(asked),
  }
  const text = JSON.stringify(result, null, 2)
  if (typeof json === 'string') await writeFile(json, `${text}\n`)
  console.log(text)
}
