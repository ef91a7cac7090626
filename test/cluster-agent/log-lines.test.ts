import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../support/wait.ts'

const at = (path: string) => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)))

/** Logs two lines when its stdin ends, and exits. */
const SCRIPT = `
  import { pino } from ${JSON.stringify(import.meta.resolve('pino'))}
  import { LOG_LINES } from ${at('../../cluster-agent/log-lines.ts')}
  const log = pino({}, LOG_LINES)
  process.stdin.on('end', () => {
    log.info('the last')
    log.info('words')
    process.exit(0)
  }).resume()
  process.stdout.write('ready')
`

async function start() {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', SCRIPT])
  onTestFinished(() => void child.kill('SIGKILL'))
  const ended = { code: undefined as number | null | undefined }
  child.on('exit', (code) => (ended.code = code))
  await once(child.stdout, 'data')
  return { child, ended }
}

test('a process ends with its parent, though nobody takes its last words', async () => {
  const { child, ended } = await start()
  child.stderr.destroy()
  child.stdin.end()
  await until('it has ended', () => ended.code !== undefined)
  expect(ended.code).toBe(0)
})

test('last words are said before the process ends', async () => {
  const { child, ended } = await start()
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stdin.end()
  await until('it has ended', () => ended.code !== undefined)
  await until('they came', () => said.split('\n').length === 3)
  const lines = said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string })
  expect(lines.map(({ msg }) => msg)).toEqual(['the last', 'words'])
})
