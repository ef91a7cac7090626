/** Waits for a condition with a generous bound, never for a time. */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  msMax = 10_000,
): Promise<NonNullable<T>> {
  const endMs = performance.now() + msMax
  for (;;) {
    const found = await probe()
    if (found !== null && found !== undefined && (found as unknown) !== false) return found as NonNullable<T>
    if (performance.now() > endMs) throw new Error(`it never came: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
