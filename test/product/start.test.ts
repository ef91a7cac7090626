import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '../../cli/root.ts'
import { parseReceipt } from '../../protocol/receipt.ts'
import { freePort } from '../../cli/free-port.ts'
import { until } from '../support/wait.ts'

/** `isotherm start` as a user runs it: processes, ready file, a replay through it, a second start, its end. */
const CLI = join(ROOT, 'cli/isotherm.mjs')
let folder: string
let port: number
let child: ChildProcess
let output = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isotherm-start-'))
  port = await freePort()
  child = spawn(process.execPath, [
    CLI,
    'start',
    '--port',
    String(port),
    '--engine-speed',
    '20',
    '--ready-file',
    join(folder, 'ready.json'),
  ])
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  await until(`the product to be ready\n${output}`, () => readReady().catch(() => null), 120_000)
})

afterAll(async () => {
  child?.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

async function readReady(): Promise<{ baseUrl: string; apiKey: string; adminToken: string }> {
  return JSON.parse(await readFile(join(folder, 'ready.json'), 'utf8')) as {
    baseUrl: string
    apiKey: string
    adminToken: string
  }
}

/** Processes of this product, by the folder that only they name. */
async function processes(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(
    pids.map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      return `${pid} ${command.replaceAll('\0', ' ')}`
    }),
  )
  return lines.filter((line) => line.includes(`local-${port}/`))
}

test('the printed curl streams a first token with a receipt', async () => {
  const { baseUrl, apiKey } = await readReady()
  expect(baseUrl).toBe(`http://127.0.0.1:${port}/v1`)
  const curl = /curl -N -i (\S+) \\\n\s+-H '(authorization: [^']+)' -H '[^']+' \\\n\s+-d '([^']+)'/.exec(
    output,
  )
  expect(curl?.[1]).toBe(`${baseUrl}/chat/completions`)
  expect(curl?.[2]).toBe(`authorization: Bearer ${apiKey}`)
  const response = await fetch(curl![1]!, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
    body: curl![3]!,
  })
  expect(response.status).toBe(200)
  expect(parseReceipt(response.headers.get('x-isotherm-route') ?? '')).not.toBeNull()
  expect(await response.text()).toMatch(/^data: \{[\s\S]*data: \[DONE\]\n\n$/m)
})

test('callers of three regions are served at home', async () => {
  const { baseUrl, apiKey } = await readReady()
  for (const [colo, region] of [
    ['IAD', 'us-east'],
    ['FRA', 'eu-central'],
    ['NRT', 'ap-northeast'],
  ] as const) {
    const response = await fetch(`${baseUrl}/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${apiKey}`,
        'content-type': 'application/json',
        'cf-blob': JSON.stringify({ colo }),
      },
      body: JSON.stringify({
        model: 'isotherm-demo',
        max_tokens: 1,
        messages: [{ role: 'user', content: `hello from ${colo}` }],
      }),
    })
    expect(parseReceipt(response.headers.get('x-isotherm-route') ?? '')?.region).toBe(region)
    await response.body?.cancel()
  }
})

test.each(['isotherm', 'nearest', 'sticky', 'random'])(
  'replay with routing %s answers every request',
  async (routing) => {
    const { baseUrl, apiKey } = await readReady()
    const json = join(folder, `${routing}.json`)
    const args = [
      'replay',
      '--base-url',
      baseUrl,
      '--api-key',
      apiKey,
      '--minutes',
      '0.5',
      '--speed',
      '10',
      '--routing',
      routing,
      '--json',
      json,
    ]
    const { stdout } = await promisify(execFile)(process.execPath, [CLI, ...args], { timeout: 100_000 })
    const summary = JSON.parse(await readFile(json, 'utf8')) as {
      requests: number
      failed: number
      cachedTokenShare: number
      byRegion: Record<string, number>
      prediction: { requests: number }
    }
    expect(summary.failed).toBe(0)
    expect(summary.requests).toBeGreaterThan(50)
    expect(summary.prediction.requests).toBe(summary.requests)
    expect(Object.keys(summary.byRegion)).toContain('us-east')
    expect(stdout).toContain('TTFT p99')
  },
)

test('a second start on the same port says so and leaves the first alone', async () => {
  const second = promisify(execFile)(process.execPath, [CLI, 'start', '--port', String(port)], {
    timeout: 60_000,
  })
  await expect(second).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`port ${port} is in use`),
  })
  const { baseUrl } = await readReady()
  expect((await fetch(new URL('/healthz', baseUrl))).status).toBe(200)
})

test.skipIf(process.platform !== 'linux')(
  'a part that crashes is named and the rest serves on; the end leaves no process',
  async () => {
    const { baseUrl, apiKey } = await readReady()
    const agent = (await processes()).find((line) => line.includes('agent-us-east'))
    process.kill(Number(agent?.split(' ')[0]), 'SIGKILL')
    await until('the crash to be named', () => /agent us-east was killed/.test(output))
    const response = await fetch(`${baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'isotherm-demo',
        max_tokens: 1,
        messages: [{ role: 'user', content: 'still there?' }],
      }),
    })
    expect(response.status).toBe(200)
    await response.body?.cancel()
    child.kill('SIGTERM')
    await until('the command to end', () => child.exitCode !== null || child.signalCode !== null)
    await until('every process to be gone', async () => (await processes()).length === 0)
    await expect(readReady()).rejects.toThrow()
  },
)
