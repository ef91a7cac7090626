import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { afterAll, expect, test } from 'vitest'
import { addAssessCommand, AssessFailure, runAssess, type AssessOptions } from '../../cli/assess.ts'
import { boundedLines } from '../../cli/bounded-lines.ts'
import { generateWorkload } from '../../cli/replay/workload.ts'
import { assessmentText } from '../../simulator/assess/assessment-text.ts'

const ISOTHERM = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'cli/isotherm.ts')
const folder = mkdtempSync(join(tmpdir(), 'isotherm-assess-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, lines: readonly (object | string)[]): string {
  const path = join(folder, name)
  writeFileSync(
    path,
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
  )
  return path
}

const mooncake = write(
  'mooncake.jsonl',
  generateWorkload({ minutes: 2, seed: 3 }).map(({ timestampMs, inputTokens, outputTokens, blockIds }) => ({
    timestamp: Math.round(timestampMs),
    input_length: inputTokens,
    output_length: outputTokens,
    hash_ids: blockIds,
  })),
)

const OPTIONS: AssessOptions = {
  trace: mooncake,
  endpoints: 8,
  regions: 2,
  profile: 'qwen3-32b-tp2-h100',
  nvmeGib: 0,
  speed: 1,
  seeds: 2,
  requests: 120,
  dramGibMax: 256,
  nvmeGibMax: 0,
}

test('a trace is measured, priced, played and judged; equal seeds give equal bytes', async () => {
  const first = await runAssess(OPTIONS)
  expect(first.facts.requests).toBe(120)
  expect(first.notPlayed).toBeGreaterThan(0)
  expect(first.fleet.gpus).toBe(16)
  expect(first.forecast.estimates.map(({ policy }) => policy)).toEqual([
    'isotherm',
    'session sticky',
    'session sticky, llm-d precise inside',
    'round robin',
  ])
  // Rules that know of caches compute less than the one that does not.
  const [ours, , , robin] = first.forecast.estimates
  expect(ours?.prefillGpuMs.mean).toBeLessThan(robin?.prefillGpuMs.mean ?? 0)
  expect(first.breakEvens[0]?.share).toBeCloseTo(first.facts.reusableShare)
  const text = assessmentText(first)
  expect(text).toMatch(/Advice: (adopt|do not adopt): /)
  for (const { name, measured } of first.advice.checks) expect(text).toContain(`${name}: ${measured}`)
  expect(JSON.stringify(await runAssess(OPTIONS))).toBe(JSON.stringify(first))
})

test('a size keeps the SLO, one endpoint less does not, and every point that was tried is told', async () => {
  const { size } = await runAssess({ ...OPTIONS, regions: 1, size: true, sloTtftP90Ms: 3000 })
  const smallest = size?.smallest
  if (!size || !smallest) throw new Error('no size')
  const at = (endpoints: number) =>
    size.points.find(
      (point) => point.policy === 'isotherm' && point.endpoints === endpoints && point.dramGib === 256,
    )
  expect(at(smallest.endpoints)).toMatchObject({ meets: true })
  expect(at(smallest.endpoints - 1)).toMatchObject({ meets: false })
  expect(at(smallest.endpoints)?.ttftP90Ms).toBeLessThanOrEqual(3000)
  expect(size.alternatives.map(({ name }) => name)).toContain('round robin')
})

test('what is wrong is one message that names it, and no prompt is printed', async () => {
  const fail = async (change: Partial<AssessOptions>) => {
    const failure = await runAssess({ ...OPTIONS, ...change }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(AssessFailure)
    return (failure as AssessFailure).message
  }
  expect(await fail({ endpoints: 1 })).toBe('--endpoints 1 is less than --regions 2')
  expect(await fail({ size: true })).toContain('--slo-ttft-p90-ms')
  expect(await fail({ trace: join(folder, 'none') })).toContain('ENOENT')
  expect(await fail({ trace: write('empty', []) })).toContain('it is empty')
  const secret = write('secret', [{ timestamp: 0, prompt: { SECRET: 1 } }, 'SECRET'])
  expect(await fail({ trace: secret })).toMatch(/line 1: 'prompt' must be .*; line 2: not JSON$/)
  const long = { timestamp: 0, input_length: 200_000, output_length: 5, hash_ids: [1] }
  expect(await fail({ trace: write('long', [long]) })).toContain('no request fits into')
})

test('the command prints advice and writes JSON, and neither holds a prompt', () => {
  const log = write('log.jsonl', [
    ...[0, 1, 2, 3].map((second) => ({
      timestamp: second * 1000,
      model: 'm',
      messages: [{ role: 'user', content: `TOPSECRET ${'and so on '.repeat(200)}` }],
    })),
    'not JSON',
  ])
  const json = join(folder, 'out.json')
  const args = ['--trace', log, '--endpoints', '2', '--seeds', '2', '--json', json]
  const { status, stdout } = spawnSync(process.execPath, [ISOTHERM, 'assess', ...args], { encoding: 'utf8' })
  expect(status).toBe(0)
  expect(stdout).toContain('Advice: do not adopt')
  expect(stdout).toContain('1 malformed lines were left out: line 5: not JSON')
  const told = readFileSync(json, 'utf8')
  expect(JSON.parse(told)).toMatchObject({ facts: { requests: 4 }, advice: { verdict: 'do not adopt' } })
  expect(stdout + told).not.toContain('TOPSECRET')
})

test('an option out of its bounds is refused with what it may be', async () => {
  const refuse = (...args: string[]) => {
    const program = new Command().exitOverride().configureOutput({ writeErr: () => {} })
    addAssessCommand(program)
    return expect(program.parseAsync(['node', 'isotherm', 'assess', '--trace', mooncake, ...args])).rejects
  }
  await refuse('--profile', 'abacus').toThrow('qwen3-32b-tp2-h100')
  await refuse('--endpoints', '33').toThrow('from 1 to 32')
  await refuse('--regions', '1.5').toThrow('a whole number from 1 to 6')
  await refuse('--seeds', '').toThrow('from 2 to 20')
  await refuse('--dram-gib', '-1').toThrow('a number from 0')
  await refuse('--speed', '0').toThrow('above 0')
})

test('lines are bounded: a longer one comes as null, and the others whole', async () => {
  const path = join(folder, 'lines')
  writeFileSync(path, `first\n${'x'.repeat(200_000)}\n\nlast €`)
  const lines: (string | null)[] = []
  for await (const line of boundedLines(path, 1000)) lines.push(line)
  expect(lines).toEqual(['first', null, '', 'last €'])
})
