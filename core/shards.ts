/**
 * Which shard of a region's directory holds a prompt. All markers of a prompt lie together: the shard follows from one of
 * them, the first, or the first at or beyond a depth where many prompts share one root. The layout is part of the name of
 * an object, so objects of two layouts never mix: after a change the new ones know nothing until the agents have come.
 */
import type { ShardLayout } from '../protocol/shard-layout.ts'
import { gridOffsetFrom } from './prefix-markers.ts'

/** The shard that is asked for the prompt with these markers: u32 triples by rising offset. */
export function shardOfPrompt(layout: ShardLayout, model: string, markers: Uint32Array): number {
  if (layout.shards === 1 || markers.length < 3) return 0
  const at = shardMarker(layout, model, markers)
  // A prompt that ends before the depth has nothing that not every shard holds.
  return (markers[(at ?? markers.length - 3) + 2] as number) % layout.shards
}

/**
 * The shard that holds the marker at `offsetBytes` of the prompt `markers`; null when every shard must, since prompts
 * that go on from there in different ways lie in different shards.
 */
export function shardOfMarker(
  layout: ShardLayout,
  model: string,
  markers: Uint32Array,
  offsetBytes: number,
): number | null {
  if (layout.shards === 1) return 0
  const at = shardMarker(layout, model, markers)
  if (at === null || offsetBytes < (markers[at] as number)) return null
  return (markers[at + 2] as number) % layout.shards
}

/** Where in `markers` the one is that chooses the shard, or null. A depth counts as the grid's offset from it on. */
function shardMarker({ markerBytes }: ShardLayout, model: string, markers: Uint32Array): number | null {
  if (markers.length < 3) return null
  const fromBytes = markerBytes[model] ?? 0
  if (fromBytes === 0) return 0
  // Message ends are no help here: of a long prompt those in the middle have no marker.
  const offsetBytes = gridOffsetFrom(fromBytes)
  for (let at = 0; at + 2 < markers.length; at += 3) if (markers[at] === offsetBytes) return at
  return null
}

/** The name of the object that is shard `shard` of the region. */
export function directoryName(region: string, layout: ShardLayout, shard: number): string {
  return layout.shards === 1 ? region : `${region}.${layoutTag(layout)}.${shard}`
}

/** A layout in short: equal tags, equal layouts. */
export function layoutTag({ shards, markerBytes }: ShardLayout): string {
  const depths = Object.entries(markerBytes)
    .filter(([, bytes]) => bytes > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  if (depths.length === 0) return `s${shards}`
  let hash = 0x811c9dc5
  for (const char of JSON.stringify(depths)) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193)
  return `s${shards}-${(hash >>> 0).toString(16).padStart(8, '0')}`
}
