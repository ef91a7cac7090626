/**
 * Ids of the Responses API, which keeps what it answered: each names the cluster that keeps it and is signed for its
 * tenant, so that a continuation finds its way without any table and nobody continues what is another tenant's. The engine
 * takes the id as its own, so no answer is rewritten. `resp_` + 32 random hexadecimal digits + `-` cluster `-` MAC.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { equalSecrets } from '../core/equal-secrets.ts'

const CONTEXT = 'isotherm-response-id-v1'
const RANDOM_BYTES = 16
/** Of base64url: 96 bits. */
const MAC_CHARS = 16
const ID = /^resp_([0-9a-f]{32})-([a-z0-9][a-z0-9.-]{0,62})-([A-Za-z0-9_-]{16})$/

export class ResponseIds {
  readonly #secret: string

  /** Ids outlive a rotation of the envelope's secret, so `secret` is another. */
  constructor(secret: string) {
    this.#secret = secret
  }

  issue(tenant: string, cluster: string): string {
    const random = randomBytes(RANDOM_BYTES).toString('hex')
    return `resp_${random}-${cluster}-${this.#mac(tenant, random, cluster)}`
  }

  /** The cluster that keeps the response; null for ids that are not ours, or not this tenant's. */
  clusterOf(tenant: string, id: string): string | null {
    const [, random, cluster, mac] = ID.exec(id) ?? []
    if (random === undefined || cluster === undefined || mac === undefined) return null
    return equalSecrets(mac, this.#mac(tenant, random, cluster)) ? cluster : null
  }

  #mac(tenant: string, random: string, cluster: string): string {
    const signed = [CONTEXT, tenant, random, cluster].join('\n')
    return createHmac('sha256', this.#secret).update(signed).digest('base64url').slice(0, MAC_CHARS)
  }
}
