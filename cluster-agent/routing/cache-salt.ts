/**
 * Which engines take `cache_salt`, which keeps share scopes apart in their caches. Their `/v1/messages` drops it before
 * vLLM 0.27 (vllm-project/vllm#49498; `AnthropicMessagesRequest` of the wheels 0.26.0 and 0.27.0): by that API tenants would
 * find, and by its time to the first token notice, what others have asked.
 */
import type { PromptApi } from '../../protocol/apis.ts'

const MESSAGES_FIRST_MINOR = 27
/** A release; what is built from a checkout may say anything, such as 0.1.dev1. */
const RELEASE = /^(\d+)\.(\d+)\.\d/

interface Versioned {
  readonly endpoint: { readonly version: string | null }
}

/** Of `candidates` those that are not known to drop the salt. */
export function takingSalt<C extends Versioned>(api: PromptApi, candidates: readonly C[]): readonly C[] {
  return api === 'messages' ? candidates.filter(({ endpoint }) => !dropsSalt(endpoint.version)) : candidates
}

function dropsSalt(version: string | null): boolean {
  const [, major, minor] = RELEASE.exec(version ?? '') ?? []
  return major === '0' && Number(minor) < MESSAGES_FIRST_MINOR
}
