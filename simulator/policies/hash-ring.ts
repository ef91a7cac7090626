/** Consistent hashing on a ring, as gateways keep sessions where they are. */
import { rendezvousRank } from '../../worker/plan/rendezvous.ts'

export const VIRTUAL_NODES = 160

export class HashRing {
  private readonly points: readonly { readonly at: number; readonly member: number }[]

  /** `kind`: what the members are. Two rings of one kind would place a session at the same numbers of both. */
  constructor(kind: string, members: readonly number[]) {
    this.points = members
      .flatMap((member) =>
        Array.from({ length: VIRTUAL_NODES }, (_, node) => ({
          at: rendezvousRank(`${kind} ${node}`, String(member)),
          member,
        })),
      )
      .toSorted((a, b) => a.at - b.at || a.member - b.member)
  }

  /** The members in the order in which they follow the key; the first healthy one serves it. */
  order(key: string): number[] {
    const at = rendezvousRank(key, 'key')
    let low = 0
    let high = this.points.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.points[middle]?.at ?? 0) < at) low = middle + 1
      else high = middle
    }
    const found = new Set<number>()
    for (let i = 0; i < this.points.length; i++) {
      const point = this.points[(low + i) % this.points.length]
      if (point) found.add(point.member)
    }
    return [...found]
  }
}
