/**
 * `npm test`: every vitest project in one run, then one line `N passed, N failed, N skipped` for whoever reads only
 * the end. Arguments go to vitest (`npm test -- --project pure`).
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = mkdtempSync(join(tmpdir(), 'isotherm-test-'))
const report = join(folder, 'report.json')

const child = spawn(
  process.execPath,
  [
    join(ROOT, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] },
)

child.on('exit', (code) => {
  const counts = readCounts()
  rmSync(folder, { recursive: true, force: true })
  // A run that broke before or beside its tests (a file that does not load, an unhandled rejection) has failed too.
  const broken = code !== 0 && counts.failed === 0 ? 1 : 0
  process.stdout.write(
    `\n${counts.passed} passed, ${counts.failed + broken} failed, ${counts.skipped} skipped\n`,
  )
  process.exitCode = code === 0 && counts.passed > 0 ? 0 : 1
})

function readCounts(): { passed: number; failed: number; skipped: number } {
  try {
    const json = JSON.parse(readFileSync(report, 'utf8')) as Record<string, number>
    return {
      passed: json['numPassedTests'] ?? 0,
      failed: json['numFailedTests'] ?? 0,
      skipped: (json['numPendingTests'] ?? 0) + (json['numTodoTests'] ?? 0),
    }
  } catch {
    return { passed: 0, failed: 0, skipped: 0 }
  }
}
