/**
 * HalfSipHash-2-4 with 64 bits out (Aumasson and Bernstein, reference implementation `halfsiphash.c`), read at
 * several offsets of one pass. It is keyed: without the key nobody can tell which prompt a PrefixKey stands for,
 * nor make two prompts collide. 32-bit words only: a quarter of the cost of SipHash in JavaScript.
 */

/** 64 bits as two unsigned 32-bit halves. */
export interface HashKey {
  readonly lo: number
  readonly hi: number
}

/**
 * Hashes every prefix `bytes[0, offset)` named by `offsets` (rising, none beyond `bytes.length`) in one pass.
 * Writes `offset, low half, high half` for each to `out` (3 x `offsets.length` words) and returns it.
 */
export function hashPrefixes(
  bytes: Uint8Array,
  offsets: readonly number[],
  key: HashKey,
  out: Uint32Array = new Uint32Array(offsets.length * 3),
): Uint32Array {
  const k0 = key.lo | 0
  const k1 = key.hi | 0
  let v0 = k0
  let v1 = k1 ^ 0xee
  let v2 = 0x6c796765 ^ k0
  let v3 = 0x74656462 ^ k1
  const words = wordsOf(bytes)
  let at = 0
  for (let n = 0; n < offsets.length; n++) {
    const offset = offsets[n] as number
    const wordsEnd = offset >>> 2
    for (; at < wordsEnd; at++) {
      const m = (words[at] as number) | 0
      v3 ^= m
      // Two rounds, written out: a loop of two costs half as much again.
      v0 = (v0 + v1) | 0
      v1 = (v1 << 5) | (v1 >>> 27)
      v1 ^= v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = (v3 << 8) | (v3 >>> 24)
      v3 ^= v2
      v0 = (v0 + v3) | 0
      v3 = (v3 << 7) | (v3 >>> 25)
      v3 ^= v0
      v2 = (v2 + v1) | 0
      v1 = (v1 << 13) | (v1 >>> 19)
      v1 ^= v2
      v2 = (v2 << 16) | (v2 >>> 16)

      v0 = (v0 + v1) | 0
      v1 = (v1 << 5) | (v1 >>> 27)
      v1 ^= v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = (v3 << 8) | (v3 >>> 24)
      v3 ^= v2
      v0 = (v0 + v3) | 0
      v3 = (v3 << 7) | (v3 >>> 25)
      v3 ^= v0
      v2 = (v2 + v1) | 0
      v1 = (v1 << 13) | (v1 >>> 19)
      v1 ^= v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= m
    }
    out[n * 3] = offset
    finish(v0, v1, v2, v3, lastWord(bytes, offset), out, n * 3 + 1)
  }
  return out
}

/** Whether words in memory are as the hash reads them: the least byte first. */
const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1

/** The whole words of `bytes`: the same memory where it can be read so, which is twice as fast as putting words together. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const count = bytes.length >>> 2
  if (IS_LITTLE_ENDIAN && (bytes.byteOffset & 3) === 0)
    return new Uint32Array(bytes.buffer, bytes.byteOffset, count)
  const words = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const at = i * 4
    words[i] =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
  }
  return words
}

/** The length's low byte and the up to three bytes after the last whole word. */
function lastWord(bytes: Uint8Array, offset: number): number {
  let word = (offset & 0xff) << 24
  for (let i = offset & ~3, shift = 0; i < offset; i++, shift += 8) word |= (bytes[i] as number) << shift
  return word
}

function finish(
  a: number,
  b: number,
  c: number,
  d: number,
  last: number,
  out: Uint32Array,
  at: number,
): void {
  let v0 = a
  let v1 = b
  let v2 = c
  let v3 = d ^ last
  // Rounds 0-1 take in the last word, 2-5 make the low half, 6-9 the high half.
  for (let round = 0; round < 10; round++) {
    if (round === 2) {
      v0 ^= last
      v2 ^= 0xee
    } else if (round === 6) {
      out[at] = v1 ^ v3
      v1 ^= 0xdd
    }
    v0 = (v0 + v1) | 0
    v1 = (v1 << 5) | (v1 >>> 27)
    v1 ^= v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = (v3 << 8) | (v3 >>> 24)
    v3 ^= v2
    v0 = (v0 + v3) | 0
    v3 = (v3 << 7) | (v3 >>> 25)
    v3 ^= v0
    v2 = (v2 + v1) | 0
    v1 = (v1 << 13) | (v1 >>> 19)
    v1 ^= v2
    v2 = (v2 << 16) | (v2 >>> 16)
  }
  out[at + 1] = v1 ^ v3
}
