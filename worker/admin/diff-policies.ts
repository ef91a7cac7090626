/** Where two policies differ, leaf by leaf, as JSON pointers. Lists are compared whole: their order means something. */
import type { Difference } from '../../protocol/admin-api.ts'
import type { Policy } from '../../protocol/policy.ts'

export function diffPolicies(before: Policy, after: Policy): Difference[] {
  return diff('', before, after)
}

function diff(path: string, before: unknown, after: unknown): Difference[] {
  if (isRecord(before) && isRecord(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
    return names.flatMap((name) => {
      const pointer = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
      return diff(pointer, own(before, name), own(after, name))
    })
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return []
  return [{ path, before: before ?? null, after: after ?? null }]
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function own(record: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined
}
