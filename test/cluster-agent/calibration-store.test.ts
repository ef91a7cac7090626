import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CalibrationStore } from '../../cluster-agent/calibration-store.ts'
import { Calibration } from '../../cluster-agent/calibration/calibration.ts'

const log = pino({ level: 'silent' })
const laws = { e0: { prefill: [1, 2, 3], tiers: { cpu: [1, 2] } } }
let folder = ''
let path = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isotherm-costs-'))
  path = join(folder, 'costs.json')
})
afterEach(() => rm(folder, { recursive: true }))

test('what was learnt is there after a restart, whole, and no draft is left', async () => {
  const store = new CalibrationStore(folder, log)
  await Promise.all([store.write(new Calibration({})), store.write(new Calibration(laws))])
  expect(await new CalibrationStore(folder, log).read()).toEqual(laws)
  expect(await readdir(folder)).toEqual(['costs.json'])
})

test('a file that is missing, cut, forged or far too large is nothing', async () => {
  expect(await new CalibrationStore(folder, log).read()).toEqual({})
  for (const text of [
    '{"v":1,"endpoints":{"e0":{"prefill":[1,',
    '{"v":2,"endpoints":{}}',
    '{"v":1,"endpoints":{"e0":{"prefill":[-1,2,3]}}}',
    '{"v":1,"endpoints":{"e0":{"prefill":[1,2,3,4,5]}}}',
    '[]',
    ' '.repeat(5 * 1024 * 1024),
  ]) {
    await writeFile(path, text)
    expect(await new CalibrationStore(folder, log).read()).toEqual({})
  }
})

test('a folder that cannot be written stops nobody', async () => {
  await writeFile(join(folder, 'file'), '')
  await new CalibrationStore(join(folder, 'file'), log).write(new Calibration(laws))
  await new CalibrationStore(null, log).write(new Calibration(laws))
  expect(await readdir(folder)).toEqual(['file'])
})
