/**
 * How much a newcomer may take: a fresh engine has an empty queue and an empty cache, so everything that is cold would go
 * there at once, before its first kernels have run. The bound doubles until it is none.
 */
export const RAMP_MS = 30_000
const LEGS_MIN = 2
const DOUBLINGS = 6

/** Legs that may be under way after `ageMs`, or null for any number. */
export function legsAllowed(ageMs: number): number | null {
  if (ageMs >= RAMP_MS) return null
  return Math.floor(LEGS_MIN * 2 ** ((DOUBLINGS * Math.max(ageMs, 0)) / RAMP_MS))
}
