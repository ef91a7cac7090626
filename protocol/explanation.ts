/** The answer of `POST /v1/route/explain`: the plan of a request, with the price of every candidate. Nothing is sent. */
import type { Routing } from './edge-config.ts'
import type { TtftTerms } from './receipt.ts'

export interface ExplainedCandidate {
  readonly cluster: string
  readonly region: string
  /** Whether the directory knows what is resident there. */
  readonly state: 'known' | 'unknown'
  readonly matchedTokens: number
  readonly promptTokens: number
  /** Tier of the deepest matched marker, `none` without one. */
  readonly tier: string
  /** Age of the directory's knowledge, -1 when it has none. */
  readonly ageMs: number
  readonly terms: TtftTerms
}

/** What would be done under another policy or without some clusters. */
export interface Alternative {
  readonly reason: string | null
  readonly plan: readonly ExplainedCandidate[]
  readonly rejected: readonly { readonly cluster: string; readonly reason: string }[]
}

export interface RouteExplanation {
  readonly requestId: string
  readonly tenant: string
  readonly model: string
  readonly routing: Routing
  /** Region of the edge that decides, whose directory is asked. */
  readonly edgeRegion: string
  /** Where the knowledge comes from: the directory, an answer a moment old (load only), or nothing. */
  readonly knowledge: 'directory' | 'recent-load' | 'none'
  /** Length of the canonical prompt in bytes, and its markers. */
  readonly promptBytes: number
  readonly markers: number
  /** Why the first of `plan` leads; null when nothing may serve the request. */
  readonly reason: string | null
  /** Clusters in the order in which they would be tried. */
  readonly plan: readonly ExplainedCandidate[]
  readonly rejected: readonly { readonly cluster: string; readonly reason: string }[]
  /** Version of the policy that decided; 0: of the configuration. */
  readonly policyVersion: number
  /** null: `what_if` was not asked. */
  readonly whatIf: Alternative | null
}
