import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, expect, test } from 'vitest'
import type { AnyJson } from './fixtures.ts'
import { until } from '../support/wait.ts'

const SERVE = fileURLToPath(new URL('../../simulator/serve.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'simulator-serve-'))
const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Served {
  readonly child: ChildProcess
  stdout: string
  stderr: string
  code: number | null | undefined
}

function serve(config: unknown, ...flags: string[]): Served {
  const file = join(folder, `config-${children.length}-${Math.random()}.json`)
  writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config))
  const child = spawn(process.execPath, [SERVE, '--config', file, ...flags], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  children.push(child)
  const served: Served = { child, stdout: '', stderr: '', code: undefined }
  child.stdout.on('data', (chunk: Buffer) => (served.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (served.stderr += chunk.toString()))
  child.on('exit', (code) => (served.code = code))
  return served
}

async function ready(served: Served): Promise<AnyJson> {
  await until(
    `a line, or an end: ${served.stderr}`,
    () => served.stdout.includes('\n') || served.code !== undefined,
    20_000,
  )
  expect(served.stderr).toBe('')
  return JSON.parse(served.stdout)
}

test('it says where everything listens, writes the model, and ends on a signal', async () => {
  const served = serve({
    modelDir: join(folder, 'model'),
    engines: [{ name: 'a', speed: 50 }],
    links: [{ name: 'l', target: { host: '127.0.0.1', port: 9 }, rttMs: 1 }],
  })
  const line = await ready(served)
  expect(line).toMatchObject({ ready: true, engines: [{ name: 'a' }], links: [{ name: 'l' }] })
  expect((await fetch(`${line.engines[0].url}/health`)).status).toBe(200)
  expect(readdirSync(join(folder, 'model')).toSorted()).toEqual(['tokenizer.json', 'tokenizer_config.json'])
  served.child.kill('SIGTERM')
  await until('it has ended', () => served.code !== undefined)
  expect([served.code, served.stderr]).toEqual([0, ''])
})

test('with --exit-with-parent it ends with its stdin', async () => {
  const served = serve({ engines: [{ name: 'a' }] }, '--exit-with-parent')
  await ready(served)
  served.child.stdin!.end()
  await until('it has ended', () => served.code !== undefined)
  expect(served.code).toBe(0)
})

test('a port in use, a wrong option and a missing file are one line each, and exit code 1', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as AddressInfo
  const all = [
    serve({ engines: [{ name: 'a', port }] }),
    serve({ engines: [{ name: 'a', speed: -1 }] }),
    serve('{'),
  ]
  for (const served of all) await until('it has ended', () => served.code !== undefined, 20_000)
  taken.close()
  expect(all.map(({ code }) => code)).toEqual([1, 1, 1])
  expect(all[0]!.stderr).toBe(`simulator: cannot listen on 127.0.0.1:${port}: the port is in use\n`)
  expect(all[1]!.stderr).toMatch(/^simulator: .*engines\.0\.speed: .*\n$/)
  for (const { stderr, stdout } of all) expect([stderr.split('\n').length, stdout]).toEqual([2, ''])
})
