import { expect, test } from 'vitest'
import { NOTES_MAX, type EdgeNote } from '../../../protocol/receipt-record.ts'
import { Notes } from '../../../worker/memory/notes.ts'
import { note } from '../../tenancy/receipts/notes.ts'

function idsOf(notes: string): string[] {
  return (JSON.parse(notes) as EdgeNote[]).map(({ requestId }) => requestId)
}

test('all that waits is taken at once, in batches of one region each', () => {
  const notes = new Notes(1000)
  const ids = Array.from({ length: 2 * NOTES_MAX + 10 }, (_, i) => `r${i}`)
  for (const id of ids) notes.add(note(id))
  notes.add(note('far', { edgeRegion: 'eu-central' }))
  const batches = notes.take()
  expect(batches.map(({ region, notes: text }) => [region, idsOf(text).length])).toEqual([
    ['us-east', NOTES_MAX],
    ['us-east', NOTES_MAX],
    ['us-east', 10],
    ['eu-central', 1],
  ])
  expect(batches.flatMap(({ notes: text }) => idsOf(text))).toEqual([...ids, 'far'])
  expect(notes.take()).toEqual([])
})

test('of more than may wait the oldest goes', () => {
  const notes = new Notes(1000)
  let lost = 0
  for (let i = 0; i < 3000; i++) lost += Number(!notes.add(note(`r${i}`)))
  const kept = notes.take().flatMap(({ notes: text }) => idsOf(text))
  expect(kept).toHaveLength(3000 - lost)
  expect([lost > 0, kept[0], kept.at(-1)]).toEqual([true, `r${lost}`, 'r2999'])
})
