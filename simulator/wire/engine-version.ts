/** The two dialects that the simulator speaks: the current wire format, and the last one with positional events. */

export const ENGINE_VERSIONS = ['0.32.0', '0.23.0'] as const
export type EngineVersion = (typeof ENGINE_VERSIONS)[number]

/** Whether events are maps, replay carries the topic, and bodies have the newer fields. */
export function isCurrent(version: EngineVersion): boolean {
  return version === '0.32.0'
}
