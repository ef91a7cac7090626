/** The value below which `share` of the values lie; 1 of none. */
export function quantile(values: ArrayLike<number>, share: number): number {
  if (values.length === 0) return 1
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.floor(share * (sorted.length - 1))] ?? 1
}
