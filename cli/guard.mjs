/**
 * `node guard.mjs COMMAND [ARG ...]`: runs a command that does not watch its parent (workerd) and ends it when the
 * guard's standard input ends, so that no process outlives the one that started it, however that died.
 */
import { spawn } from 'node:child_process'

const KILL_AFTER_MS = 2000
const [command, ...args] = process.argv.slice(2)
const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })

function end() {
  child.kill('SIGTERM')
  // workerd drains open connections first and keeps its port meanwhile.
  setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS).unref()
}

process.stdin.on('end', end).on('error', end).resume()
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, end)
child.on('error', (error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
child.on('exit', (code) => process.exit(code ?? 1))
