import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { ROOT } from '../../cli/root.ts'
import { startEngine, type RunningEngine } from '../../simulator/engine-server.ts'
import { until } from '../support/wait.ts'

const command = (...args: string[]) => [join(ROOT, 'cli/isotherm.ts'), 'events', ...args]
const run = (...args: string[]) => promisify(execFile)(process.execPath, command(...args), { cwd: ROOT })
const linesOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

let engine: RunningEngine | undefined
afterEach(async () => {
  await engine?.stop()
  engine = undefined
})

test('a recording: every event as a line, token ids only when asked for, and what is resident in the end', async () => {
  const file = join(ROOT, 'test/fixtures/vllm/v0.32.0/events-04-salt.jsonl')
  const lines = linesOf((await run('--file', file, '--summary')).stdout)
  expect(lines[0]).toMatchObject({
    seq: 5,
    kind: 'stored',
    parent: null,
    tokens: 64,
    blockTokens: 32,
    medium: 'GPU',
  })
  expect(JSON.stringify(lines)).not.toContain('extraKeys')
  const { summary } = lines.at(-1) as { summary: Record<string, unknown> }
  expect(summary).toMatchObject({ events: lines.length - 1, skipped: 0, orphans: 0, blockTokens: 32 })
  const [asked] = linesOf((await run('--file', file, '--tokens')).stdout)
  expect(asked).toMatchObject({ extraKeys: [['tenant-a'], null] })
  expect(asked?.['tokens']).toHaveLength(64)
})

test('lines that are no recording are named, and the rest is printed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-events-'))
  const file = join(folder, 'x.jsonl')
  await writeFile(
    file,
    'nonsense\n{"frames":["","0000000000000000","93cb3ff80000000000009191b0416c6c426c6f636b73436c656172656400"]}\n',
  )
  const { stdout, stderr } = await run('--file', file)
  await rm(folder, { recursive: true })
  expect(linesOf(stdout)).toEqual([{ seq: 0, rank: 0, kind: 'cleared' }])
  expect(stderr).toContain('x.jsonl:1: no line of')
})

test('a command that cannot work says why', async () => {
  for (const [args, reason] of [
    [[], 'one of --endpoint and --file'],
    [['--endpoint', 'nowhere'], 'no ZMQ address'],
    [['--file', '/nowhere'], 'ENOENT'],
  ] as const)
    await expect(run(...args)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining(reason) as string,
    })
})

test('a live engine: what came before by its replay, then what it does, until it is interrupted', async () => {
  engine = await startEngine({ name: 'test', model: 'm', speed: 20 })
  const ask = async (text: string) => {
    const body = JSON.stringify({ model: 'm', prompt: text.repeat(60), max_tokens: 1 })
    const response = await fetch(`${engine!.url}/v1/completions`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
    await response.text()
  }
  await ask('before ')
  const child = spawn(
    process.execPath,
    command('--endpoint', engine.eventsEndpoint, '--replay', engine.replayEndpoint, '--summary'),
    { cwd: ROOT },
  )
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await until('the replay to be printed', () => text.includes('"stored"'))
  const before = linesOf(text).length
  await ask('after ')
  await until('the new events to be printed', () => linesOf(text).length > before)
  child.kill('SIGINT')
  await new Promise((resolve) => child.once('close', resolve))
  const { summary } = linesOf(text).at(-1) as { summary: { resident: { gpu: number } } }
  expect(summary.resident.gpu).toBeGreaterThan(0)
})
