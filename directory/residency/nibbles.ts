/** Eight nibbles in a word, one a column. */
const ONE_A_NIBBLE = 0x11111111

/**
 * Enters the nibbles of the `open` columns (one bit a nibble) among eight from `first`: where they are, `offset` is the
 * deepest marker. Gives the columns that stay open.
 */
export function takeNibbles(
  nibbleWord: number,
  open: number,
  first: number,
  offset: number,
  offsetBytes: Uint32Array,
  nibbles: Uint8Array,
): number {
  const pairs = nibbleWord | (nibbleWord >>> 1)
  const hits = (pairs | (pairs >>> 2)) & ONE_A_NIBBLE & open
  for (let rest = hits; rest !== 0; rest &= rest - 1) {
    const bit = 31 - Math.clz32(rest & -rest)
    offsetBytes[first + (bit >>> 2)] = offset
    nibbles[first + (bit >>> 2)] = (nibbleWord >>> bit) & 15
  }
  return open & ~hits
}
