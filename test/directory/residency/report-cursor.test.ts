import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeReport } from '../../../directory/residency/report-cursor.ts'

test('each header has one verdict', () => {
  const cursor = { epoch: 5, seq: 3 }
  expect(judgeReport(cursor, { epoch: 5, seq: 4 })).toEqual({ kind: 'apply' })
  expect(judgeReport(cursor, { epoch: 5, seq: 3 })).toEqual({ kind: 'duplicate' })
  expect(judgeReport(cursor, { epoch: 5, seq: 1 })).toEqual({ kind: 'duplicate' })
  expect(judgeReport(cursor, { epoch: 5, seq: 5 })).toEqual({ kind: 'resync', reason: 'sequence-gap' })
  expect(judgeReport(cursor, { epoch: 6, seq: 4 })).toEqual({ kind: 'resync', reason: 'epoch-mismatch' })
})

test('under loss, duplication and reordering, what is applied is a prefix of what was sent, each once', () => {
  const deliveries = fc
    .record({ sent: fc.integer({ min: 1, max: 30 }), picks: fc.array(fc.nat(), { maxLength: 80 }) })
    .map(({ sent, picks }) => picks.map((pick) => (pick % sent) + 1))
  fc.assert(
    fc.property(deliveries, (seqs) => {
      const applied: number[] = []
      let hasGap = false
      for (const seq of seqs) {
        const verdict = judgeReport({ epoch: 1, seq: applied.length }, { epoch: 1, seq })
        if (verdict.kind === 'resync') {
          hasGap = true
          break
        }
        if (verdict.kind === 'apply') applied.push(seq)
      }
      expect(applied).toEqual(applied.map((_, index) => index + 1))
      // Nothing sent before the first gap is missing.
      const beforeGap = new Set<number>()
      for (const seq of seqs) {
        if (seq > beforeGap.size + 1) break
        beforeGap.add(seq)
      }
      expect(applied).toHaveLength(beforeGap.size)
      expect(hasGap).toBe(seqs.some((seq, i) => seq > new Set(seqs.slice(0, i)).size + 1 && isFirstGap(seqs, i)))
    }),
  )
})

function isFirstGap(seqs: readonly number[], index: number): boolean {
  const seen = new Set<number>()
  for (const seq of seqs.slice(0, index)) {
    if (seq > seen.size + 1) return false
    seen.add(seq)
  }
  return true
}
