/** Numbers as the cells of a table show them. */
import type { Interval } from './statistics.ts'

export function ms({ mean, half }: Interval): string {
  const digits = mean < 100 ? 1 : 0
  return half === null ? mean.toFixed(digits) : `${mean.toFixed(digits)} ± ${half.toFixed(digits)}`
}

export function plain({ mean }: Interval): string {
  return mean.toFixed(0)
}

export function percent({ mean }: Interval): string {
  return `${(mean * 100).toFixed(1)} %`
}

export function change({ mean, half }: Interval): string {
  const text = `${mean > 0 ? '+' : ''}${(mean * 100).toFixed(1)}`
  return half === null ? `${text} %` : `${text} ± ${(half * 100).toFixed(1)} %`
}
