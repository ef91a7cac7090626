/**
 * Where the directories are: by region and shard, placed by the region's hint, inside its jurisdiction. A stub serves one
 * request (reference/hot-path.md, trap 1), so what is kept is how to make one: its id.
 */
import { directoryName, shardOfPrompt } from '../core/shards.ts'
import type { RegionConfig } from '../protocol/edge-config.ts'
import type { DirectoryRpc, LookupRequest } from '../protocol/lookup.ts'
import { SINGLE_SHARD, type ShardLayout } from '../protocol/shard-layout.ts'

export type DirectoryStub = DirectoryRpc & Pick<Fetcher, 'fetch'>

export interface DirectoryObject {
  /** The object's name, which tells its region, layout and shard. */
  readonly name: string
  /** A fresh stub for this request. */
  open(): DirectoryStub
}

export interface DirectoryObjects {
  /** All objects of the region in the present layout, by shard; empty when there is no such region. */
  all(region: string): readonly DirectoryObject[]
  /** The one that is asked; null when there is no such region. */
  forPrompt(region: string, request: LookupRequest): DirectoryObject | null
  /** An object by its full name, in the region's place. */
  named(region: string, name: string): DirectoryObject | null
  layout(region: string): ShardLayout | null
}

const JURISDICTIONS: Readonly<Record<string, DurableObjectJurisdiction>> = {
  eu: 'eu',
  fedramp: 'fedramp',
  'fedramp-high': 'fedramp-high',
}

export function directoryObjects(
  namespace: DurableObjectNamespace,
  regions: ReadonlyMap<string, RegionConfig>,
): DirectoryObjects {
  const named = (region: string, name: string): DirectoryObject | null => {
    const config = regions.get(region)
    return config ? { name, open: openerOf(namespace, config, name) } : null
  }
  const layout = (region: string) => {
    const config = regions.get(region)
    return config ? (config.layout ?? SINGLE_SHARD) : null
  }
  /** By region, made when first asked for: every request asks. */
  const shards = new Map<string, readonly DirectoryObject[]>()
  const all = (region: string): readonly DirectoryObject[] => {
    const known = shards.get(region)
    if (known) return known
    const divided = layout(region)
    if (divided === null) return []
    const objects = Array.from({ length: divided.shards }, (_, shard) =>
      named(region, directoryName(region, divided, shard)),
    ).flatMap((object) => object ?? [])
    shards.set(region, objects)
    return objects
  }
  return {
    named,
    layout,
    all,
    forPrompt: (region, { model, markers }) => {
      const divided = layout(region)
      return (divided && all(region)[shardOfPrompt(divided, model, markers)]) ?? null
    },
  }
}

/** An id is a hash of the name and serves every request: it is made once. */
function openerOf(
  namespace: DurableObjectNamespace,
  config: RegionConfig,
  name: string,
): () => DirectoryStub {
  const hint = hintOf(config, name)
  const options = hint === undefined ? {} : { locationHint: hint as DurableObjectLocationHint }
  let way: { readonly place: DurableObjectNamespace; readonly id: DurableObjectId } | null = null
  return () => {
    if (way === null) {
      const place = inJurisdiction(namespace, config.jurisdiction)
      way = { place, id: place.idFromName(name) }
    }
    const stub: unknown = way.place.get(way.id, options)
    return stub as DirectoryStub
  }
}

/** Where the object should be made: as its shard's hint says, or the region's. */
function hintOf({ region, locationHint, shardLocationHints = [] }: RegionConfig, name: string) {
  const shard = name === region ? 0 : Number(name.slice(name.lastIndexOf('.') + 1))
  return shardLocationHints[shard] ?? locationHint
}

/** Objects that never leave a jurisdiction are a namespace of their own. Bare workerd has none, and no places either. */
export function inJurisdiction(
  namespace: DurableObjectNamespace,
  jurisdiction: string | undefined,
): DurableObjectNamespace {
  const known = jurisdiction === undefined ? undefined : JURISDICTIONS[jurisdiction]
  if (known === undefined) return namespace
  try {
    return namespace.jurisdiction(known)
  } catch (error) {
    // Anything else than workerd's own words must not send data across a border.
    if (error instanceof Error && error.message.includes('not implemented in workerd')) return namespace
    throw error
  }
}
