import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../../cli/root.ts'
import { until } from '../support/wait.ts'

test.skipIf(process.platform !== 'linux')('what npm runs ends when npm is killed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-npm-'))
  const pidFile = join(folder, 'pid')
  const script = join(folder, 'wait.mjs')
  await writeFile(
    script,
    `import { writeFileSync } from 'node:fs'
     writeFileSync(${JSON.stringify(pidFile)}, String(process.pid))
     setInterval(() => undefined, 1000)`,
  )
  // What stands for npm starts the command in a shell, as npm does. The list keeps the shell from becoming the command.
  const command = `${process.execPath} scripts/run.mjs ${relative(ROOT, script)}; true`
  const starter = `require('node:child_process').spawn('sh', ['-c', process.argv[1]], { stdio: 'ignore' })`
  const npm = spawn(process.execPath, ['-e', starter, command], {
    cwd: ROOT,
    env: { ...process.env, npm_lifecycle_event: 'start' },
    stdio: 'ignore',
  })
  try {
    await until('the command to run', () => readFile(pidFile, 'utf8').catch(() => null))
    const pid = Number(await readFile(pidFile, 'utf8'))
    expect(isRunning(pid)).toBe(true)
    npm.kill('SIGKILL')
    await until('the command to end', () => !isRunning(pid))
  } finally {
    npm.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
})

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
