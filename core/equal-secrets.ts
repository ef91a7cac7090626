/**
 * Comparison of secrets without a word about where they differ. Time depends on the length of `given` only, which is the
 * caller's own.
 */
export function equalSecrets(given: string, secret: string): boolean {
  let difference = given.length ^ secret.length
  for (let i = 0; i < given.length; i++) {
    difference |= given.charCodeAt(i) ^ secret.charCodeAt(secret.length === 0 ? 0 : i % secret.length)
  }
  return difference === 0
}
