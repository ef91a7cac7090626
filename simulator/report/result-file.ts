/** What `sim run --json` writes and `sim report` reads. */
import type { RunResult } from '../scenario/play.ts'

export const RESULT_FORMAT = 2

export interface ResultFile {
  readonly format: typeof RESULT_FORMAT
  readonly scenario: string
  readonly title: string
  readonly baseline: string | null
  readonly kneeMs: number
  readonly seeds: number
  readonly runs: readonly RunResult[]
}
