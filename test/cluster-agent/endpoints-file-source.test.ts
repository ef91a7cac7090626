import { mkdtemp, rm, symlink, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { EndpointSpec } from '../../cluster-agent/discovery/endpoint-spec.ts'
import { EndpointsFileSource } from '../../cluster-agent/endpoints-file-source.ts'
import { until } from '../support/wait.ts'

const YAML = `
profiles:
  h100: {prefill: {fixedMs: 1, msPerToken: 1, msPerTokenPair: 0}, decodeStepMs: 1, kvTokens: 1000}
endpoints:
  - {endpoint: a, url: 'http://10.0.0.1:8000', events: 'tcp://10.0.0.1:5557', profile: h100, role: prefill}
`
const second = YAML.replace('endpoint: a', 'endpoint: b')

let folder: string
let path: string
let source: EndpointsFileSource
let lines: string[]
let heard: (readonly EndpointSpec[])[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isotherm-file-'))
  path = join(folder, 'endpoints.yaml')
  lines = []
  heard = []
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) })
  source = new EndpointsFileSource(path, log, 10)
})

afterEach(async () => {
  await source.stop()
  await rm(folder, { recursive: true })
})

const names = () =>
  heard
    .at(-1)
    ?.map(({ endpoint }) => endpoint)
    .join()
/** At once: a file that is written in place may be read while it is empty, more than once on a busy machine. */
async function replace(text: string): Promise<void> {
  await writeFile(`${path}.next`, text)
  await rename(`${path}.next`, path)
}
const start = () => source.start((specs) => heard.push(specs))

test('a changed file is taken, an invalid one changes nothing and is named once', async () => {
  await writeFile(path, YAML)
  await start()
  expect(heard).toMatchObject([
    [{ endpoint: 'a', role: 'prefill', isServing: true, profile: { kvTokens: 1000 } }],
  ])
  await replace(second)
  await until('the new endpoints', () => names() === 'b')
  for (const [text, fault] of [
    [`${YAML}${YAML.split('endpoints:')[1]}`, 'named twice'],
    [YAML.replaceAll('h100,', 'h200,'), 'no profile \\"h200'],
    [YAML.replace('role: prefill', 'role: encoder'), 'endpoints.0.role'],
    ['endpoints: [', 'Flow sequence'],
  ] as const) {
    await replace(text)
    await until(`the fault ${fault}`, () => lines.some((line) => line.includes(fault)))
  }
  await rm(path)
  await until('the missing file', () => lines.some((line) => line.includes('ENOENT')))
  expect(heard).toHaveLength(2)
  expect(source.counts).toEqual({ reloads: 2, refusals: 5 })
  await replace(YAML)
  await until('the first endpoints again', () => names() === 'a')
})

test('a swap of symbolic links, as of a ConfigMap, is seen', async () => {
  await writeFile(join(folder, '1.yaml'), YAML)
  await writeFile(join(folder, '2.yaml'), second)
  await symlink(join(folder, '1.yaml'), path)
  await start()
  await symlink(join(folder, '2.yaml'), join(folder, 'next'))
  await rename(join(folder, 'next'), path)
  await until('the new endpoints', () => names() === 'b')
})

test('a file that is not valid at the start stops the start and says why', async () => {
  await writeFile(path, 'endpoints: 7')
  await expect(start()).rejects.toThrow('endpoints: Invalid input')
})
