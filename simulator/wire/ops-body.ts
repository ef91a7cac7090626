/** Answers of the operational endpoints. */
import { isCurrent, type EngineVersion } from './engine-version.ts'

/** The one model that an engine serves, as `GET /v1/models` lists it. */
export function modelsBody(model: string, contextTokensMax: number, createdS: number): object {
  const permission = {
    id: 'modelperm-0000000000000000',
    object: 'model_permission',
    created: createdS,
    allow_create_engine: false,
    allow_sampling: true,
    allow_logprobs: true,
    allow_search_indices: false,
    allow_view: true,
    allow_fine_tuning: false,
    organization: '*',
    group: null,
    is_blocking: false,
  }
  const entry = {
    id: model,
    object: 'model',
    created: createdS,
    owned_by: 'vllm',
    root: './model',
    parent: null,
    max_model_len: contextTokensMax,
    permission: [permission],
  }
  return { object: 'list', data: [entry] }
}

/** `GET /kv_event_sources`: by data-parallel rank. */
export function eventSourcesBody(
  endpoint: string,
  replayEndpoint: string,
  topic: string,
  bufferSteps: number,
): object {
  const source = {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint,
    replay_endpoint: replayEndpoint,
    buffer_steps: bufferSteps,
    hwm: 100_000,
    max_queue_size: 100_000,
    topic,
  }
  return { '0': source }
}

/** 0.23 answers an empty 200 and does not say whether it did. */
export function resetBody(hasSucceeded: boolean, version: EngineVersion): object | null {
  return isCurrent(version) ? { success: hasSucceeded } : null
}
