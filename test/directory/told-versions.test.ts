import { expect, test } from 'vitest'
import { ToldVersions } from '../../directory/told-versions.ts'
import { VERSIONS_MAX } from '../../protocol/lookup.ts'

/** Storage of an object, as far as versions need it; `puts` counts its rows written. */
function storage() {
  const rows = new Map<string, unknown>()
  let puts = 0
  const kv = {
    list: () => rows.entries(),
    put: (key: string, value: unknown) => {
      puts++
      rows.set(key, value)
    },
  }
  return { kv: kv as unknown as SyncKvStorage, puts: () => puts }
}

test('a row is written for a change only, and read again by the next life', () => {
  const { kv, puts } = storage()
  const told = new ToldVersions(kv)
  expect([told.note('policies', 1), told.note('policies', 1), told.note('policies', 0)]).toEqual([
    true,
    true,
    true,
  ])
  expect(puts()).toBe(1)
  expect(told.note('policies', 2)).toBe(true)
  expect(new ToldVersions(kv).all).toEqual({ policies: 2 })
})

test('names and versions that are none, and one name too many, are not taken', () => {
  const { kv, puts } = storage()
  const told = new ToldVersions(kv)
  for (const name of ['', 'Not A Name', 'x'.repeat(64)]) expect(told.note(name, 1)).toBe(false)
  for (const version of [-1, 0.5, Number.NaN, Infinity]) expect(told.note('n', version)).toBe(false)
  expect(puts()).toBe(0)
  for (let i = 0; i < VERSIONS_MAX; i++) expect(told.note(`name-${i}`, i)).toBe(true)
  expect(told.note('one-more', 1)).toBe(false)
  expect(told.note('name-0', 9)).toBe(true)
})
