import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockHashes } from '../../../simulator/engine/block-hash.ts'
import { BlockPool } from '../../../simulator/engine/block-pool.ts'

const USABLE = 8
/** Six one-token prompts' hashes. */
const HASHES = Array.from({ length: 6 }, (_, token) => {
  const hashes = new BlockHashes(1, null, 1)
  hashes.extend(Uint32Array.of(token), 1)
  return hashes
})

/** vLLM's pool in the plainest words: a list as queue, and one object a block. */
class NaivePool {
  queue = Array.from({ length: USABLE }, (_, i) => i + 1)
  hash = new Map<number, number>()
  /** Stores in their order: the oldest copy is the one that is hit. */
  stored: { block: number; hash: number }[] = []
  references = new Map<number, number>()
  removed: number[] = []

  take(count: number): number[] {
    const taken = this.queue.splice(0, count)
    for (const block of taken) {
      const hash = this.hash.get(block)
      if (hash !== undefined) this.removed.push(hash)
      this.hash.delete(block)
      this.stored = this.stored.filter((entry) => entry.block !== block)
      this.references.set(block, 1)
    }
    return taken
  }

  register(block: number, hash: number): void {
    this.hash.set(block, hash)
    this.stored.push({ block, hash })
  }

  find(hash: number): number {
    return this.stored.find((entry) => entry.hash === hash)?.block ?? 0
  }

  touch(block: number): void {
    this.references.set(block, (this.references.get(block) ?? 0) + 1)
    this.queue = this.queue.filter((other) => other !== block)
  }

  release(blocks: number[]): void {
    const freed = blocks.toReversed().filter((block) => {
      const left = (this.references.get(block) ?? 0) - 1
      this.references.set(block, left)
      return left === 0
    })
    const unhashed = freed.filter((block) => !this.hash.has(block))
    const hashed = freed.filter((block) => this.hash.has(block))
    this.queue = [...unhashed, ...this.queue, ...hashed]
  }
}

const action = fc.oneof(
  fc.record({
    kind: fc.constant('start' as const),
    hits: fc.array(fc.nat(5), { maxLength: 3 }),
    count: fc.nat(4),
  }),
  fc.record({ kind: fc.constant('register' as const), holder: fc.nat(7), hash: fc.nat(5) }),
  fc.record({ kind: fc.constant('release' as const), holder: fc.nat(7) }),
  fc.record({ kind: fc.constant('reset' as const) }),
)

test('the pool does what a list of blocks would', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80, size: 'max' }), (actions) => {
      const pool = new BlockPool<bigint>(USABLE)
      const naive = new NaivePool()
      const removed: bigint[] = []
      let holders: number[][] = []
      for (const step of actions) {
        if (step.kind === 'start') {
          const blocks: number[] = []
          for (const hash of new Set(step.hits)) {
            const found = pool.find(HASHES[hash]!.key(0))
            expect(found).toBe(naive.find(hash))
            if (found === 0) continue
            pool.touch(found)
            naive.touch(found)
            blocks.push(found)
          }
          const count = Math.min(step.count, pool.free)
          const taken: number[] = []
          pool.take(count, taken, { removed: (hash) => removed.push(hash) })
          expect(taken).toEqual(naive.take(count))
          holders.push([...blocks, ...taken])
        } else if (step.kind === 'register') {
          const block = holders[step.holder]?.find((candidate) => !naive.hash.has(candidate))
          if (block === undefined) continue
          pool.register(block, HASHES[step.hash]!, 0)
          naive.register(block, step.hash)
        } else if (step.kind === 'release') {
          const blocks = holders[step.holder]
          if (blocks === undefined) continue
          holders = holders.filter((other) => other !== blocks)
          pool.release(blocks)
          naive.release(blocks)
        } else {
          const isIdle = naive.queue.length === USABLE
          expect(pool.reset()).toBe(isIdle)
          if (isIdle) {
            naive.hash.clear()
            naive.stored = []
          }
        }
        expect(pool.free).toBe(naive.queue.length)
        for (let hash = 0; hash < HASHES.length; hash++) {
          expect(pool.find(HASHES[hash]!.key(0))).toBe(naive.find(hash))
        }
      }
      expect(removed).toEqual(naive.removed.map((hash) => HASHES[hash]!.value(0)))
      const resident = [...naive.hash.values()].map((hash) => HASHES[hash]!.value(0))
      expect(pool.residentHashes().toSorted()).toEqual(resident.toSorted())
    }),
    { numRuns: 1000 },
  )
})

test('a hash depends on every token before it and on the salt', () => {
  const tokens = fc.array(fc.nat(9000), { minLength: 8, maxLength: 8 })
  const salts = fc.option(fc.string({ minLength: 1, maxLength: 8 }))
  const hash = (ids: number[], salt: string | null): bigint[] => {
    const hashes = new BlockHashes(4, salt, 2)
    hashes.extend(Uint32Array.from(ids), 8)
    return [hashes.value(0), hashes.value(1)]
  }
  fc.assert(
    fc.property(tokens, tokens, salts, salts, (a, b, saltA, saltB) => {
      const [a0, a1] = hash(a, saltA)
      const [b0, b1] = hash(b, saltB)
      const isSame0 = saltA === saltB && String(a.slice(0, 4)) === String(b.slice(0, 4))
      expect(a0 === b0).toBe(isSame0)
      expect(a1 === b1).toBe(isSame0 && String(a) === String(b))
    }),
  )
})
