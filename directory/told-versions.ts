/**
 * Versions of documents elsewhere that the object has been told of, and tells on with every answer. They are rows of
 * storage, one a change and none a request, so that an eviction does not forget them.
 */
import { nameSchema } from '../protocol/ids.ts'
import { VERSIONS_MAX } from '../protocol/lookup.ts'

const KEY_PREFIX = 'version:'

export class ToldVersions {
  readonly #kv: SyncKvStorage
  #versions: Readonly<Record<string, number>>

  constructor(kv: SyncKvStorage) {
    this.#kv = kv
    this.#versions = Object.fromEntries(
      [...kv.list<number>({ prefix: KEY_PREFIX })].map(([key, version]) => [
        key.slice(KEY_PREFIX.length),
        version,
      ]),
    )
  }

  get all(): Readonly<Record<string, number>> {
    return this.#versions
  }

  /** False for a name or version that is none, and for one name too many. A version never goes back. */
  note(name: string, version: number): boolean {
    if (!nameSchema.safeParse(name).success || !Number.isSafeInteger(version) || version < 0) return false
    const known = this.#versions[name]
    if (known === undefined && Object.keys(this.#versions).length >= VERSIONS_MAX) return false
    if (known !== undefined && known >= version) return true
    this.#kv.put(`${KEY_PREFIX}${name}`, version)
    this.#versions = { ...this.#versions, [name]: version }
    return true
  }
}
