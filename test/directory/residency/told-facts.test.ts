import { expect, test } from 'vitest'
import { unitsToText } from '../../../protocol/code-units.ts'
import { decodeAnswer } from '../../../protocol/lookup-packing.ts'
import { RegionalDirectory, SILENCE_MS_MAX } from '../../../directory/residency/regional-directory.ts'
import { DirectoryFacts } from '../../../worker/memory/directory-facts.ts'
import { ask, CHANGES, frame, heartbeat, hello, markersOf, MODEL } from '../fake-agent.ts'

/** An isolate that keeps what it is told, and the object that it asks. */
class Asker {
  readonly facts = new DirectoryFacts()
  directory: RegionalDirectory
  constructor(directory: RegionalDirectory) {
    this.directory = directory
  }

  /** Which clusters' facts travelled (null: all of them), and what is known after it. */
  ask(nowMs: number, documents?: Readonly<Record<string, number>>) {
    const batch = ask(markersOf(CHANGES), { known: this.facts.versions([MODEL]) })
    const answer = decodeAnswer(unitsToText(this.directory.answer(batch, nowMs, documents)))!
    const [known] = this.facts.unpack([MODEL], answer)!
    const told = answer.facts.flatMap(({ base, clusters }) =>
      base === null ? ['all'] : clusters.map(([, { cluster }]) => cluster),
    )
    return { told, known, versions: answer.versions }
  }
}

function connect(directory: RegionalDirectory, cluster: string, nowMs = 0): void {
  directory.receiveText(cluster, cluster, hello(cluster, 7), nowMs)
  directory.receiveFrame(cluster, cluster, frame('snapshot-end', 7, 1, CHANGES), nowMs)
}

function beat(directory: RegionalDirectory, cluster: string, backlogMs: number, nowMs: number): void {
  directory.receiveText(cluster, cluster, heartbeat(7, 1, { backlogMs }), nowMs)
}

test('an isolate is told of the clusters that changed, and only of those', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const isolate = new Asker(directory)
  for (const cluster of ['a', 'b']) connect(directory, cluster)
  expect(isolate.ask(1).told).toEqual(['all'])
  expect(isolate.ask(1).told).toEqual([])
  beat(directory, 'b', 5, 2)
  const changed = isolate.ask(3)
  expect(changed.told).toEqual(['b'])
  expect(changed.known).toMatchObject([
    { cluster: 'a', load: null },
    { cluster: 'b', load: { backlogMs: 5 }, loadAgeMs: 1 },
  ])
  // The same load again is nothing new, but younger.
  beat(directory, 'b', 5, 10)
  expect(isolate.ask(12)).toMatchObject({ told: [], known: [{}, { load: { backlogMs: 5 }, loadAgeMs: 2 }] })
  directory.receiveText('a', 'a', hello('a', 8), 13)
  expect(isolate.ask(13)).toMatchObject({ told: ['a'], known: [{ state: 'unknown' }, { state: 'known' }] })
  const silentMs = 13 + SILENCE_MS_MAX + 1
  expect(isolate.ask(silentMs).known).toMatchObject([{ state: 'unknown' }, { state: 'unknown' }])
})

test('a cluster more, or another life of the object, is told whole', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const isolate = new Asker(directory)
  connect(directory, 'a')
  isolate.ask(1)
  connect(directory, 'b')
  expect(isolate.ask(2).told).toEqual(['all'])
  const next = new RegionalDirectory('us-east', 1024, undefined, 3)
  connect(next, 'b')
  isolate.directory = next
  expect(isolate.ask(3)).toMatchObject({ told: ['all'], known: [{ cluster: 'b', state: 'known' }] })
  expect(isolate.ask(3).told).toEqual([])
  isolate.directory = directory
  expect(isolate.ask(4).told).toEqual(['all'])
})

test('versions of documents are told once to each isolate', () => {
  const directory = new RegionalDirectory('us-east', 1024)
  const isolate = new Asker(directory)
  connect(directory, 'a')
  const documents = { policies: 3 }
  expect(isolate.ask(1, documents).versions).toEqual(documents)
  expect(isolate.ask(2, documents).versions).toBeUndefined()
  const newer = { policies: 4 }
  expect(isolate.ask(3, newer).versions).toEqual(newer)
  expect(isolate.ask(4, newer).versions).toBeUndefined()
  expect(new Asker(directory).ask(5, newer).versions).toEqual(newer)
})
