/** Round trips between regions in ms: AWS means of a public table (docs/SIMULATION.md); modern ones are 5 to 15 % better. */

const ROUND_TRIPS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'us-east': { 'us-west': 87, 'eu-west': 81, 'eu-central': 89, 'ap-northeast': 145, 'ap-southeast': 217 },
  'us-west': { 'eu-west': 137, 'eu-central': 160, 'ap-northeast': 89, 'ap-southeast': 161 },
  'eu-west': { 'eu-central': 20, 'ap-northeast': 212, 'ap-southeast': 239 },
  'eu-central': { 'ap-northeast': 237, 'ap-southeast': 326 },
  'ap-northeast': { 'ap-southeast': 74 },
}

/** Null for a pair that the table does not have. */
export function roundTripMs(a: string, b: string): number | null {
  return ROUND_TRIPS[a]?.[b] ?? ROUND_TRIPS[b]?.[a] ?? null
}
