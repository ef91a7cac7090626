import fc from 'fast-check'
import { expect, test } from 'vitest'
import { QUESTIONS_MAX } from '../../../protocol/lookup.ts'
import {
  FLIGHT_MS_MAX,
  LookupDesk,
  WAITING_MAX,
  type Flight,
  type Turn,
} from '../../../worker/memory/lookup-desk.ts'

test('the first asks at once, the others ride with the next call', () => {
  const desk = new LookupDesk<string, string>()
  expect(desk.mayLead(0)).toBe(true)
  const first = desk.depart('a', 0)
  expect(desk.mayLead(0)).toBe(false)
  const turns: Turn<string>[] = []
  for (const question of ['b', 'c']) desk.wait(question, (turn) => turns.push(turn))
  desk.land(first, ['A'], 1)
  expect(turns).toEqual([{ kind: 'lead' }])
  const second = desk.depart('b', 1)
  expect(second.questions).toEqual(['b', 'c'])
  desk.land(second, ['B', 'C'], 2)
  expect(turns).toEqual([{ kind: 'lead' }, { kind: 'answer', answer: 'C' }])
})

test('a call that fails tells its riders at once', () => {
  const desk = new LookupDesk<string, string>()
  const first = desk.depart('a', 0)
  const turns: Turn<string>[] = []
  for (const question of ['b', 'c']) desk.wait(question, (turn) => turns.push(turn))
  desk.land(first, ['A'], 1)
  desk.land(desk.depart('b', 1), null, 2)
  expect(turns.at(-1)).toEqual({ kind: 'answer', answer: null })
})

test('a call whose request has gone, and a leader that never departs, hold nobody up for long', () => {
  const desk = new LookupDesk<string, string>()
  desk.depart('lost', 0)
  expect(desk.mayLead(FLIGHT_MS_MAX)).toBe(false)
  expect(desk.mayLead(FLIGHT_MS_MAX + 1)).toBe(true)
  const flight = desk.depart('a', 100)
  desk.wait('gone', () => undefined)
  desk.land(flight, ['A'], 101)
  expect(desk.mayLead(102)).toBe(false)
  expect(desk.mayLead(152)).toBe(true)
})

test('the farther the object, the more calls are in the air', () => {
  const desk = new LookupDesk<string, string>()
  for (let i = 0; i < 50; i++) desk.land(desk.depart('a', i * 20), ['A'], i * 20 + 8)
  const flights: Flight<string, string>[] = []
  while (desk.mayLead(2000)) flights.push(desk.depart('a', 2000))
  expect(flights).toHaveLength(4)
})

test('who finds too many waiting is told that there is no answer', () => {
  const desk = new LookupDesk<number, string>()
  desk.depart(0, 0)
  const turns: Turn<string>[] = []
  for (let i = 0; i <= WAITING_MAX; i++) desk.wait(i, (turn) => turns.push(turn))
  expect(turns).toEqual([{ kind: 'answer', answer: null }])
})

test('under any order of landings everybody has one turn, with the answer to the own question', () => {
  const step = fc.constantFrom('ask', 'ask', 'ask', 'land', 'fail')
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.nat(1000), (steps, seed) => {
      const desk = new LookupDesk<number, string>()
      const flights: Flight<number, string>[] = []
      const answered = new Map<number, string | null>()
      let asked = 0
      let nowMs = 0
      const fly = (question: number) => {
        const flight = desk.depart(question, nowMs)
        expect(flight.questions.length).toBeLessThanOrEqual(QUESTIONS_MAX)
        flights.push(flight)
      }
      const ask = (question: number) => {
        if (desk.mayLead(nowMs)) return fly(question)
        desk.wait(question, (turn) => {
          expect(answered.has(question)).toBe(false)
          if (turn.kind === 'lead') fly(question)
          else answered.set(question, turn.answer)
        })
      }
      const land = (isWell: boolean) => {
        const [flight] = flights.splice(seed % Math.max(flights.length, 1), 1)
        if (!flight) return
        const answers = isWell ? flight.questions.map((question) => `answer ${question}`) : null
        answered.set(flight.questions[0]!, answers?.[0] ?? null)
        desk.land(flight, answers, nowMs)
      }
      for (const kind of steps) {
        nowMs += 1
        if (kind === 'ask') ask(asked++)
        else land(kind === 'land')
      }
      while (flights.length > 0) land(true)
      expect(desk.waiting).toBe(0)
      expect(answered.size).toBe(asked)
      for (const [question, answer] of answered) expect([`answer ${question}`, null]).toContain(answer)
    }),
  )
})
