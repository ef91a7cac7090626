/**
 * Rendezvous hashing: each key ranks all clusters in an order of its own, and a cluster that comes or goes moves only its
 * own keys. FNV-1a with the finaliser of MurmurHash3: speed and spread matter here, secrecy does not.
 */

/** A rank of `cluster` for `key`, 0 to 2^32 - 1; the highest is the key's home. */
export function rendezvousRank(key: string, cluster: string): number {
  let hash = 0x811c9dc5
  const text = `${key}\n${cluster}`
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
