/** What a figure must name beside itself: the machine, the runtime and the commit. */
import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'
import { ROOT } from '../cli/root.ts'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly node: string
  readonly commit: string
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim(),
  }
}
