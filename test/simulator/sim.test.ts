import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'

const SIM = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'simulator/sim.ts')
const folder = mkdtempSync(join(tmpdir(), 'isotherm-sim-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const OWN = `
name: own
title: a user's own
world:
  regions: [us-east, eu-central]
  clusters:
    - { region: us-east, endpoints: [{ count: 1, profile: qwen3-32b-tp2-h100 }] }
    - { region: eu-central, endpoints: [{ count: 1, profile: qwen3-32b-tp2-h100 }] }
workload:
  kind: conversations
  seconds: 20
  classes:
    - name: chat
      sessionsPerS: 1
      turns: { mean: 3, max: 6 }
      thinkS: { median: 3, sigma: 0.5 }
      firstTokens: { median: 2000, sigma: 1 }
      turnTokens: { median: 200 }
      outputTokens: { median: 50, sigma: 0.5 }
policies: [isotherm, gorgo, sticky+llm-d-precise]
`

const sim = async (...args: string[]) => promisify(execFile)(process.execPath, [SIM, ...args])

test('equal seeds give equal bytes, and the report is made of them', async () => {
  const scenario = join(folder, 'own.yaml')
  writeFileSync(scenario, OWN)
  const files = ['first.json', 'second.json'].map((name) => join(folder, name))
  const played = ['run', '--scenario', scenario, '--seeds', '2', '--no-progress', '--json']
  for (const { stdout } of await Promise.all(files.map((file) => sim(...played, file))))
    expect(stdout).toMatch(/simulated requests a second, \d+ a processor second/)
  const [first, second] = files.map((file) => readFileSync(file, 'utf8'))
  expect(second).toBe(first)
  await sim('report', folder)
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('<svg')
  expect(readFileSync(join(folder, 'report.md'), 'utf8')).toContain('### own')
})

test('a wrong scenario, policy or folder is a message and a failure, no stack', async () => {
  const bad = join(folder, 'bad.yaml')
  writeFileSync(bad, OWN.replace('seconds: 20', 'seconds: none'))
  const wrong: readonly (readonly [readonly string[], string])[] = [
    [['run', '--scenario', bad], 'workload.seconds'],
    [['run', 'b2b-73', '--policies', 'best'], "no policy 'best'"],
    [['run', 'b2b-73', '--seeds', '0'], 'whole number'],
    [['report', `${tmpdir()}/no-such-folder`], 'no-such-folder'],
  ]
  const failures = await Promise.all(wrong.map(([args]) => sim(...args).catch((failure: unknown) => failure)))
  for (const [i, [, message]] of wrong.entries()) {
    expect(failures[i]).toMatchObject({ code: 1, stderr: expect.stringContaining(message) })
    expect(failures[i]).not.toMatchObject({ stderr: expect.stringContaining('    at ') })
  }
})
