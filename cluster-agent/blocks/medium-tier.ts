/** The tier that an engine's word means; the last one is kept, since most events say the same. */
import { tierByMedium, type Tier } from '../../core/tiers.ts'

export class MediumTier {
  #medium: string | null = null
  #tier = tierByMedium(null)

  of(medium: string | null): Tier | null {
    if (medium !== this.#medium) {
      this.#medium = medium
      this.#tier = tierByMedium(medium)
    }
    return this.#tier
  }
}
