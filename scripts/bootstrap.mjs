/**
 * Brings a bare clone up: installs the locked packages when they are missing or changed, then hands over to the
 * Node 24 of `node_modules`. Plain JavaScript without dependencies, since it runs on any Node from 18 on.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const NODE = join(ROOT, 'node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
/** How often a process that npm runs looks whether npm is still there. */
const NPM_POLL_MS = 500
const STAMP = join(ROOT, 'node_modules', '.isotherm-lock')

/** Runs `npm ci` unless `node_modules` already holds what `package-lock.json` names. */
export function installPackages() {
  const lock = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex')
  if (existsSync(NODE) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === lock) return
  process.stderr.write('isotherm: installing packages (once, about a minute)\n')
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  if (result.status !== 0) {
    process.stderr.write('isotherm: npm ci failed; the lines above say why\n')
    process.exit(1)
  }
  writeFileSync(STAMP, lock)
}

/**
 * Runs a TypeScript file of the repository on Node 24 and ends with its exit code. Ctrl-C reaches the child by the
 * terminal's process group; a SIGTERM is passed on.
 */
export function runOnNode24(file, args) {
  installPackages()
  const child = spawn(NODE, ['--disable-warning=ExperimentalWarning', join(ROOT, file), ...args], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${dirname(NODE)}:${process.env.PATH ?? ''}` },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  if (process.env.npm_lifecycle_event) endWithNpm(child)
  child.on('error', (error) => {
    process.stderr.write(`isotherm: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 130 : 1)))
}

/** A killed npm tells nobody: what it ran would stay behind. */
function endWithNpm(child) {
  const before = ancestors()
  setInterval(() => {
    if (ancestors() !== before) child.kill('SIGTERM')
  }, NPM_POLL_MS).unref()
}

/** The parent, which is npm's shell, and on Linux the shell's parent, which is npm: a shell outlives it. */
function ancestors() {
  const { ppid } = process
  try {
    // `pid (name) state ppid ...`; a name may hold anything.
    const stat = readFileSync(`/proc/${ppid}/stat`, 'utf8')
    return `${ppid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]}`
  } catch {
    return String(ppid)
  }
}
