/**
 * Every KV block that anybody speaks of, under our own key: 64 bits chained over what the engine's prefix depends on
 * (model, adapter, salt, block size, then tokens), so the same prompt has the same blocks on every endpoint, whatever the
 * engines' own hashes are. A block is a small number; chains are parent links. A block lives while someone retains it.
 */
import { keyNumber } from '../../core/key-number.ts'

/** The number of a block in its table. */
export type Block = number
export const NO_BLOCK: Block = -1

const CAPACITY_MIN = 1024

export interface ChainRoot {
  readonly model: string
  readonly lora: string | null
  readonly salt: string | null
  readonly blockTokens: number
}

export class BlockTable {
  readonly #byKey = new Map<number, Block>()
  #keysLo = new Uint32Array(CAPACITY_MIN)
  #keysHi = new Uint32Array(CAPACITY_MIN)
  #parents = new Int32Array(CAPACITY_MIN).fill(NO_BLOCK)
  #depths = new Uint32Array(CAPACITY_MIN)
  #retains = new Uint32Array(CAPACITY_MIN)
  /** Children of a block: its first, and each child's neighbours. */
  #firstChild = new Int32Array(CAPACITY_MIN).fill(NO_BLOCK)
  #next = new Int32Array(CAPACITY_MIN).fill(NO_BLOCK)
  #previous = new Int32Array(CAPACITY_MIN).fill(NO_BLOCK)
  readonly #free: Block[] = []
  #used = 0

  get size(): number {
    return this.#used - this.#free.length
  }

  /** How many numbers were ever given out: arrays over blocks need this length. */
  get capacity(): number {
    return this.#keysLo.length
  }

  parent(block: Block): Block {
    return this.#parents[block] ?? NO_BLOCK
  }

  firstChild(block: Block): Block {
    return this.#firstChild[block] ?? NO_BLOCK
  }

  nextSibling(block: Block): Block {
    return this.#next[block] ?? NO_BLOCK
  }

  /** Position in its chain, from 1. */
  depth(block: Block): number {
    return this.#depths[block] ?? 0
  }

  /** The block of `tokens` behind `parent`, made when it is new. The caller retains it before it yields. */
  intern(root: ChainRoot, parent: Block, tokens: readonly number[], extra: string | null): Block {
    let lo: number
    let hi: number
    if (parent === NO_BLOCK) {
      const seed = `${root.model}\n${root.lora ?? ''}\n${root.salt ?? ''}\n${root.blockTokens}`
      lo = hashText(seed, 0x9e3779b9)
      hi = hashText(seed, 0x85ebca6b)
    } else {
      lo = this.#keysLo[parent] ?? 0
      hi = this.#keysHi[parent] ?? 0
    }
    for (const token of tokens) {
      lo = mix(lo ^ token)
      hi = mix(hi + Math.imul(token, 0x9e3779b1) + (lo >>> 5))
    }
    if (extra !== null) {
      lo = hashText(extra, lo)
      hi = hashText(extra, hi)
    }
    return this.#find(lo >>> 0, hi >>> 0, parent)
  }

  retain(block: Block): void {
    this.#retains[block] = (this.#retains[block] ?? 0) + 1
  }

  /** The last release frees the block and lets go of its parent. */
  release(block: Block): void {
    for (let at = block; at !== NO_BLOCK;) {
      const retains = (this.#retains[at] ?? 0) - 1
      if (retains < 0) throw new Error('a block was released more often than retained')
      this.#retains[at] = retains
      if (retains > 0) return
      const parent = this.parent(at)
      const key = keyNumber(this.#keysLo[at] ?? 0, this.#keysHi[at] ?? 0)
      if (this.#byKey.get(key) === at) this.#byKey.delete(key)
      this.#unlink(at, parent)
      this.#parents[at] = NO_BLOCK
      this.#free.push(at)
      at = parent
    }
  }

  /** The chain that ends in `block`, first block first. */
  chain(block: Block): Int32Array {
    const chain = new Int32Array(block === NO_BLOCK ? 0 : this.depth(block))
    for (let at = block, i = chain.length - 1; at !== NO_BLOCK && i >= 0; at = this.parent(at))
      chain[i--] = at
    return chain
  }

  #find(lo: number, hi: number, parent: Block): Block {
    const key = keyNumber(lo, hi)
    const known = this.#byKey.get(key)
    if (
      known !== undefined &&
      this.#keysLo[known] === lo &&
      this.#keysHi[known] === hi &&
      this.parent(known) === parent
    ) {
      return known
    }
    const block = this.#free.pop() ?? this.#used++
    if (block >= this.#keysLo.length) this.#grow()
    this.#keysLo[block] = lo
    this.#keysHi[block] = hi
    this.#parents[block] = parent
    this.#depths[block] = parent === NO_BLOCK ? 1 : this.depth(parent) + 1
    this.#retains[block] = 0
    this.#byKey.set(key, block)
    if (parent !== NO_BLOCK) {
      this.retain(parent)
      this.#link(block, parent)
    }
    return block
  }

  #link(block: Block, parent: Block): void {
    const first = this.firstChild(parent)
    this.#next[block] = first
    this.#previous[block] = NO_BLOCK
    if (first !== NO_BLOCK) this.#previous[first] = block
    this.#firstChild[parent] = block
  }

  #unlink(block: Block, parent: Block): void {
    const next = this.nextSibling(block)
    const previous = this.#previous[block] ?? NO_BLOCK
    if (next !== NO_BLOCK) this.#previous[next] = previous
    if (previous !== NO_BLOCK) this.#next[previous] = next
    else if (parent !== NO_BLOCK) this.#firstChild[parent] = next
    this.#next[block] = NO_BLOCK
    this.#previous[block] = NO_BLOCK
  }

  #grow(): void {
    const capacity = this.#keysLo.length * 2
    this.#keysLo = grown(this.#keysLo, new Uint32Array(capacity))
    this.#keysHi = grown(this.#keysHi, new Uint32Array(capacity))
    this.#depths = grown(this.#depths, new Uint32Array(capacity))
    this.#retains = grown(this.#retains, new Uint32Array(capacity))
    this.#parents = grown(this.#parents, new Int32Array(capacity).fill(NO_BLOCK))
    this.#firstChild = grown(this.#firstChild, new Int32Array(capacity).fill(NO_BLOCK))
    this.#next = grown(this.#next, new Int32Array(capacity).fill(NO_BLOCK))
    this.#previous = grown(this.#previous, new Int32Array(capacity).fill(NO_BLOCK))
  }
}

function grown<T extends Uint32Array | Int32Array>(from: T, to: T): T {
  to.set(from)
  return to
}

function hashText(text: string, seed: number): number {
  let hash = seed
  for (let i = 0; i < text.length; i++) hash = mix(hash ^ text.charCodeAt(i) ^ (i << 16))
  return hash
}

function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
