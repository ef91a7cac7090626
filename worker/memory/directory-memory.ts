/** What this isolate keeps for its talk with directories, beside their answers. */
import type { ClusterKnowledge, LookupRequest } from '../../protocol/lookup.ts'
import { DirectoryFacts } from './directory-facts.ts'
import { BookingNotes } from './booking-notes.ts'
import { LookupDesk } from './lookup-desk.ts'
import { Sightings } from './sightings.ts'

/** Objects talked to: the shards of a region, and of others where one isolate plays several. */
const DESKS_MAX = 1024
const COLOS_MAX = 64

export type DirectoryDesk = LookupDesk<LookupRequest, readonly ClusterKnowledge[]>

export class DirectoryMemory {
  /** 32 random bits by which directories tell this isolate's bookings from others'. */
  readonly isolate: number
  readonly notes = new BookingNotes()
  readonly sightings = new Sightings()
  readonly #desks = new Map<string, DirectoryDesk>()
  readonly #facts = new Map<string, DirectoryFacts>()
  readonly #colos = new Map<string, string>()

  constructor(isolate: number) {
    this.isolate = isolate
  }

  /** The desk of a directory object. */
  desk(object: string): DirectoryDesk {
    const known = this.#desks.get(object)
    if (known) return known
    if (this.#desks.size >= DESKS_MAX) this.#desks.clear()
    const desk: DirectoryDesk = new LookupDesk()
    this.#desks.set(object, desk)
    return desk
  }

  /** What the object has told of clusters. */
  facts(object: string): DirectoryFacts {
    const known = this.#facts.get(object)
    if (known) return known
    if (this.#facts.size >= DESKS_MAX) this.#facts.clear()
    const facts = new DirectoryFacts()
    this.#facts.set(object, facts)
    return facts
  }

  /** Where requests of the region come in here; an isolate runs in one place. */
  noteColo(region: string, colo: string): void {
    if (this.#colos.has(region) || this.#colos.size < COLOS_MAX) this.#colos.set(region, colo)
  }

  /** The location, or the region where the platform does not say. */
  colo(region: string): string {
    return this.#colos.get(region) ?? region
  }
}
