/**
 * The version of everything that crosses a wire between two houses. `test/contract/protocol-lock.test.ts`
 * hashes the schemas and fails when they change without a new version here.
 *
 * | version | change |
 * |---|---|
 * | 1 | first |
 * | 2 | outcomes, quiesce and the age of changes on the report stream; edge region, priority, SLO, response id and key id in the envelope; hedges and redirects in receipts, how long an agent may predict before another cluster is the better choice; requests about kept responses |
 */
export const PROTOCOL_VERSION = 2

/** The oldest version that a receiver still serves: a rollout mixes two neighbouring versions. */
export const PROTOCOL_VERSION_OLDEST = 1
