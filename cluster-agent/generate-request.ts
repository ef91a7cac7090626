/** One request as the server hands it over: verified, parsed, with what the edge said of it. */
import type { HashKey } from '../core/half-sip-hash.ts'
import type { PromptApi } from '../protocol/apis.ts'
import type { Dialect } from '../protocol/dialect.ts'
import type { Prompt } from './cluster.ts'
import type { ClientBody } from './handoff/engine-body.ts'
import type { RequestTrace } from './tracing.ts'

export interface GenerateRequest {
  readonly api: PromptApi
  /** In which the caller is told of faults. */
  readonly dialect: Dialect
  /** Path of the engine's route, the same as the client's. */
  readonly path: string
  readonly requestId: string
  readonly caller: Caller
  readonly prompt: Prompt
  readonly body: ClientBody
  readonly cacheSalt: string
  readonly prefixKey: HashKey
  readonly stream: boolean
  readonly trace: RequestTrace
  /** When the request came in, on the monotonic clock. */
  readonly startMs: number
  /** Aborts when the client leaves, or by `abort`. */
  readonly signal: AbortSignal
  readonly abort: () => void
}

/** Who asked, through which edge. */
export interface Caller {
  readonly tenant: string
  /** Which try at the edge this is, from 1. */
  readonly attempt: number
  /** null: nobody hears of the outcome. */
  readonly edgeRegion: string | null
  /** Higher goes first where requests wait. */
  readonly priority: number
  /** How long the caller goes on waiting for the first byte, from `startMs` on; null: as long as it takes. */
  readonly patienceMs: number | null
  /** What may be predicted for it before another cluster is the better choice; null: it is to be served. */
  readonly elsewhereMs: number | null
}
