/** A 64-bit key as a number that a Map hashes well: 53 of its bits. Who needs certainty compares the rest. */
export function keyNumber(lo: number, hi: number): number {
  return (hi & 0x1fffff) * 0x1_0000_0000 + lo
}

/** The PrefixKey of the marker that starts at word `at` of a list of markers. */
export function markerKeyNumber(markers: Uint32Array, at: number): number {
  return keyNumber(markers[at + 1] ?? 0, markers[at + 2] ?? 0)
}
