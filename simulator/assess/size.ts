/**
 * The smallest fleet that keeps an SLO, by simulation: fewest endpoints, then least DRAM, then least NVMe. Each search
 * takes for granted that more of a thing does not make latency worse, and tries the middle of what is left; every point
 * that was tried is kept, so that a curve which is not monotone shows.
 */

export interface Memory {
  readonly dramGib: number
  readonly nvmeGib: number
}

export interface FleetSize extends Memory {
  readonly endpoints: number
}

export interface Trial {
  /** The worst over the seeds. */
  readonly ttftP90Ms: number
  readonly ttftP99Ms: number
  readonly tpotP90Ms: number
  readonly lost: number
}

export interface Slo {
  readonly ttftP90Ms: number
  readonly ttftP99Ms: number | null
  readonly tpotP90Ms: number | null
}

export interface Point extends FleetSize, Trial {
  readonly policy: string
  readonly meets: boolean
}

export interface SizeLimits {
  readonly endpointsMin: number
  readonly endpointsMax: number
  readonly dramGibMax: number
  readonly nvmeGibMax: number
}

export interface Sizing {
  /** Fewest endpoints, then least DRAM, then least NVMe; null when the largest fleet does not keep the SLO. */
  readonly smallest: FleetSize | null
  /** With nothing behind the GPU. */
  readonly withoutMemory: FleetSize | null
}

/** GiB of an endpoint that are tried beside none. */
export const DRAM_LADDER: readonly number[] = [0, 32, 64, 128, 256, 512, 1024, 2048]
export const NVME_LADDER: readonly number[] = [0, 512, 1024, 2048, 4096, 8192, 16_384]

export function keepsSlo(trial: Trial, slo: Slo): boolean {
  return (
    trial.lost === 0 &&
    trial.ttftP90Ms <= slo.ttftP90Ms &&
    (slo.ttftP99Ms === null || trial.ttftP99Ms <= slo.ttftP99Ms) &&
    (slo.tpotP90Ms === null || trial.tpotP90Ms <= slo.tpotP90Ms)
  )
}

/** `keeps` plays a fleet and is asked for no fleet twice. */
export class SizeSearch {
  private readonly limits: SizeLimits
  private readonly keeps: (fleet: FleetSize) => boolean
  private readonly known = new Map<string, boolean>()

  constructor(limits: SizeLimits, keeps: (fleet: FleetSize) => boolean) {
    this.limits = limits
    this.keeps = keeps
  }

  run(): Sizing {
    const smallest = this.smallest()
    return { smallest, withoutMemory: this.fewestEndpoints({ dramGib: 0, nvmeGib: 0 }) }
  }

  /** Fewest endpoints with this much memory each; null when the most are not enough. */
  fewestEndpoints(memory: Memory): FleetSize | null {
    const { endpointsMin, endpointsMax } = this.limits
    const counts = Array.from({ length: endpointsMax - endpointsMin + 1 }, (_, i) => endpointsMin + i)
    const endpoints = leastOf(counts, (count) => this.ask({ endpoints: count, ...memory }))
    return endpoints === null ? null : { endpoints, ...memory }
  }

  private smallest(): FleetSize | null {
    const { dramGibMax, nvmeGibMax, endpointsMin } = this.limits
    const drams = [...DRAM_LADDER.filter((gib) => gib < dramGibMax), dramGibMax]
    const nvmes = [...NVME_LADDER.filter((gib) => gib < nvmeGibMax), nvmeGibMax]
    const byDram = this.fewestEndpoints({ dramGib: dramGibMax, nvmeGib: 0 })
    // NVMe is worth its search only when it spares an endpoint.
    const spared = byDram && byDram.endpoints > endpointsMin ? byDram.endpoints - 1 : null
    const asked = byDram === null ? this.limits.endpointsMax : spared
    const full = { dramGib: dramGibMax, nvmeGib: nvmeGibMax }
    const byBoth =
      nvmeGibMax > 0 && asked !== null && this.ask({ endpoints: asked, ...full })
        ? this.fewestEndpoints(full)
        : null
    const endpoints = (byBoth ?? byDram)?.endpoints
    if (endpoints === undefined) return null
    const nvmeGib = byBoth
      ? (leastOf(nvmes, (gib) => this.ask({ endpoints, dramGib: dramGibMax, nvmeGib: gib })) ?? nvmeGibMax)
      : 0
    const dramGib = leastOf(drams, (gib) => this.ask({ endpoints, dramGib: gib, nvmeGib })) ?? dramGibMax
    return { endpoints, dramGib, nvmeGib }
  }

  private ask(fleet: FleetSize): boolean {
    const key = `${fleet.endpoints} ${fleet.dramGib} ${fleet.nvmeGib}`
    const known = this.known.get(key)
    if (known !== undefined) return known
    const keeps = this.keeps(fleet)
    this.known.set(key, keeps)
    return keeps
  }
}

/** The least of rising `values` that holds, taking for granted that what is above one that holds holds too. */
function leastOf(values: readonly number[], holds: (value: number) => boolean): number | null {
  const most = values.at(-1)
  if (most === undefined || !holds(most)) return null
  let low = 0
  let high = values.length - 1
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (holds(values[middle] ?? most)) high = middle
    else low = middle + 1
  }
  return values[high] ?? null
}
