/** The `usage` object in its several shapes: whole answers spell out nulls, the last stream chunk leaves them out. */
import { isCurrent, type EngineVersion } from './engine-version.ts'

export interface Usage {
  readonly promptTokens: number
  readonly completionTokens: number
  readonly cachedTokens: number
  /** Prompt tokens newly cached; chat only. */
  readonly createdTokens: number | null
}

/** `hasDetails` is the server flag `--enable-prompt-tokens-details`. */
export function wholeUsage(usage: Usage, hasDetails: boolean, version: EngineVersion): object {
  return isCurrent(version)
    ? {
        ...counts(usage),
        prompt_tokens_details: details(usage, hasDetails, version),
        completion_tokens_details: null,
      }
    : { ...counts(usage), prompt_tokens_details: details(usage, hasDetails, version) }
}

/** Of the chunk that ends a stream with `include_usage`. */
export function finalUsage(usage: Usage, hasDetails: boolean, version: EngineVersion): object {
  const all = details(usage, hasDetails, version)
  if (all === null) return counts(usage)
  const told = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null))
  return { ...counts(usage), prompt_tokens_details: told }
}

/** Of every chunk with `continuous_usage_stats`. */
export function runningUsage(promptTokens: number, completionTokens: number, version: EngineVersion): object {
  const plain = counts({ promptTokens, completionTokens })
  return isCurrent(version) ? { ...plain, completion_tokens_details: null } : plain
}

function counts({
  promptTokens,
  completionTokens,
}: Pick<Usage, 'promptTokens' | 'completionTokens'>): object {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
  }
}

/** 0.23 says null when nothing was cached; 0.32 says 0. */
function details(usage: Usage, hasDetails: boolean, version: EngineVersion): object | null {
  const { cachedTokens, createdTokens } = usage
  if (!hasDetails) return null
  if (!isCurrent(version)) return cachedTokens === 0 ? null : { cached_tokens: cachedTokens }
  return { cached_tokens: cachedTokens, created_cache_tokens: createdTokens, multimodal_tokens: null }
}
