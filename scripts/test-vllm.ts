/**
 * `npm run test:vllm`: installs vLLM for CPU once into `~/.cache/isotherm-vllm` (or the folder that ISOTHERM_VLLM names),
 * then runs `test/vllm/` against real engines. Outside `npm test`: it needs a network, 3.1 GB of disk and some minutes.
 * Arguments go to vitest.
 */
import { spawnSync } from 'node:child_process'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = process.env['ISOTHERM_VLLM'] ?? join(homedir(), '.cache/isotherm-vllm')

function run(command: string, args: readonly string[]): void {
  const { status } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ISOTHERM_VLLM: folder },
  })
  if (status !== 0) process.exit(status ?? 1)
}

run(join(ROOT, 'test/vllm/rig/install.sh'), [folder])
run(process.execPath, [
  join(ROOT, 'node_modules/vitest/vitest.mjs'),
  'run',
  '--project',
  'vllm',
  ...process.argv.slice(2),
])
