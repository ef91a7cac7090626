import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
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
  seconds: 60
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

test('equal seeds give equal bytes, and the report is made of them', () => {
  const scenario = join(folder, 'own.yaml')
  writeFileSync(scenario, OWN)
  const run = (json: string) =>
    execFileSync(
      process.execPath,
      [SIM, 'run', '--scenario', scenario, '--seeds', '2', '--json', json, '--no-progress'],
      { encoding: 'utf8' },
    )
  const first = join(folder, 'first.json')
  expect(run(first)).toMatch(/simulated requests a second, \d+ a processor second/)
  const bytes = readFileSync(first, 'utf8')
  run(first)
  expect(readFileSync(first, 'utf8')).toBe(bytes)
  execFileSync(process.execPath, [SIM, 'report', folder])
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('<svg')
  expect(readFileSync(join(folder, 'report.md'), 'utf8')).toContain('### own')
})

test('a wrong scenario, policy or folder is a message and a failure, no stack', () => {
  const bad = join(folder, 'bad.yaml')
  writeFileSync(bad, OWN.replace('seconds: 60', 'seconds: none'))
  const fail = (...args: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [SIM, ...args], { encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).not.toContain('    at ')
    return stderr
  }
  expect(fail('run', '--scenario', bad)).toContain('workload.seconds')
  expect(fail('run', 'b2b-73', '--policies', 'best')).toContain("no policy 'best'")
  expect(fail('run', 'b2b-73', '--seeds', '0')).toContain('whole number')
  expect(fail('report', tmpdir() + '/no-such-folder')).toContain('no-such-folder')
})
