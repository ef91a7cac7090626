import { expect, test } from 'vitest'
import { Divisions, OLD_LAYOUT_MS, type MarkerChange } from '../../../cluster-agent/report/divisions.ts'
import { SINGLE_SHARD, type ShardLayout } from '../../../protocol/shard-layout.ts'

const TWO: ShardLayout = { shards: 2, markerBytes: {} }
const DEEP: ShardLayout = { shards: 2, markerBytes: { m: 512 } }

function change(root: number, offsetBytes: number): MarkerChange {
  const markers = Uint32Array.from([256, root, root, 512, root + 10, root + 10])
  return { lo: root, hi: offsetBytes, nibble: 1, origin: { model: 'm', markers, offsetBytes } }
}

test('a new layout is served beside the old one for a while', () => {
  const divisions = new Divisions((layout, shard) => `${layout.shards}/${shard}`)
  expect(divisions.adopt(SINGLE_SHARD, 0)).toEqual(['1/0'])
  expect(divisions.adopt(SINGLE_SHARD, 10)).toEqual([])
  expect(divisions.adopt(TWO, 100)).toEqual(['2/0', '2/1'])
  expect(divisions.streams).toEqual(['1/0', '2/0', '2/1'])
  expect(divisions.current).toEqual(['2/0', '2/1'])
  expect(divisions.expire(100 + OLD_LAYOUT_MS - 1)).toEqual([])
  expect(divisions.expire(100 + OLD_LAYOUT_MS)).toEqual(['1/0'])
  expect(divisions.streams).toEqual(['2/0', '2/1'])
})

test('a layout that comes back keeps its streams', () => {
  const divisions = new Divisions((layout, shard) => ({ name: `${layout.shards}/${shard}` }))
  const [first] = divisions.adopt(SINGLE_SHARD, 0)
  divisions.adopt(TWO, 0)
  expect(divisions.adopt(SINGLE_SHARD, 0)).toEqual([])
  expect(divisions.current).toEqual([first])
  expect(divisions.expire(OLD_LAYOUT_MS)).toHaveLength(2)
})

test('each shard is told of its own prompts, and every one of what many prompts begin with', () => {
  const divisions = new Divisions((_, shard) => shard)
  divisions.adopt(TWO, 0)
  const changes = [change(1, 256), change(2, 512), { ...change(3, 256), origin: null }]
  const shares = [...divisions.share(changes)].map(([shard, own]) => [shard, own.map(({ lo }) => lo)])
  expect(shares).toEqual([
    [0, [2, 3]],
    [1, [1, 3]],
  ])
  expect(divisions.own(DEEP, 0, [change(1, 256), change(1, 512)]).map(({ hi }) => hi)).toEqual([256])
  expect(divisions.own(DEEP, 1, [change(1, 256), change(1, 512)]).map(({ hi }) => hi)).toEqual([256, 512])
})
