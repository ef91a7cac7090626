/**
 * The newest version of each document elsewhere that a directory's answers have named. A copy in this isolate that is
 * older than it is due for a refresh; a name that no answer has named says nothing.
 */
const NAMES_MAX = 256

export class Versions {
  readonly #versions = new Map<string, number>()

  /** What an answer carries. */
  learn(versions: Readonly<Record<string, number>>): void {
    for (const [name, version] of Object.entries(versions)) {
      const known = this.#versions.get(name)
      if (known === undefined ? this.#versions.size < NAMES_MAX : known < version) {
        this.#versions.set(name, version)
      }
    }
  }

  /** null when no directory has named one. */
  latest(name: string): number | null {
    return this.#versions.get(name) ?? null
  }
}
