/** Which region an edge belongs to: whose directory it asks, and from where round trips count. */
import type { EdgeConfig } from '../../protocol/edge-config.ts'

/** What the platform says of the caller; every field may be missing. */
export interface CallerPlace {
  readonly colo?: string | undefined
  readonly continent?: string | undefined
}

/** By location of the edge, else by continent, else the configured home. */
export function findEdgeRegion(config: EdgeConfig, place: CallerPlace): string {
  const { colo, continent } = place
  const byColo = colo && config.regions.find(({ colos }) => colos.includes(colo))
  if (byColo) return byColo.region
  const byContinent = continent && config.regions.find(({ continents }) => continents.includes(continent))
  return byContinent ? byContinent.region : config.homeRegion
}
