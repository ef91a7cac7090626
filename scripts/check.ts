/** `npm run check`: format, lint, types of each runtime, tests. Runs all of them and fails when one did. */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = (name: string) => join(ROOT, 'node_modules/.bin', name)

const STEPS: readonly (readonly [string, string, readonly string[]])[] = [
  ['format', bin('oxfmt'), ['--check', '.']],
  ['lint', bin('oxlint'), ['--type-aware', '--deny-warnings']],
  ['types: pure', bin('tsc'), ['-p', 'tsconfig.pure.json']],
  ['types: edge', bin('tsc'), ['-p', 'tsconfig.edge.json']],
  ['types: node', bin('tsc'), ['-p', 'tsconfig.node.json']],
  ['tests', process.execPath, [join(ROOT, 'scripts/test.ts')]],
]

const failed: string[] = []
for (const [name, command, args] of STEPS) {
  process.stdout.write(`\n== ${name}\n`)
  const result = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' })
  if (result.status !== 0) failed.push(name)
}
process.stdout.write(
  failed.length === 0 ? '\ncheck: all passed\n' : `\ncheck: failed: ${failed.join(', ')}\n`,
)
process.exitCode = failed.length === 0 ? 0 : 1
