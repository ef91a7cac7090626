/** An entry of the operators' API as data: routes and the OpenAPI document are made of the same table. */
import type { z } from 'zod'
import type { PolicyStoreRpc } from '../../protocol/policy-store.ts'

export interface AdminCall {
  /** The shard of `:tenant`. */
  readonly store: PolicyStoreRpc
  readonly edit: { readonly actor: string; readonly tenant: string; readonly ifRevision: number | null }
  readonly param: (name: string) => string
  /** null when the query does not have it. */
  readonly query: (name: string) => string | null
}

export interface AdminResult {
  readonly body: unknown
  /** The tenant's revision after it, for the ETag. */
  readonly etag?: number
  /** The shard's revision after a change, to be spread. */
  readonly changedRevision?: number
}

export interface Endpoint<C extends AdminCall = AdminCall> {
  readonly method: 'get' | 'post' | 'delete'
  readonly path: string
  readonly summary: string
  readonly query: readonly string[]
  readonly body: z.ZodType | null
  readonly answer: z.ZodType
  readonly status: 200 | 201
  /** Whether `if-match` has to name the revision that the operator saw. */
  readonly needsRevision: boolean
  readonly handle: (call: C, body: unknown) => Promise<AdminResult>
}

/** Ties the handler's body to its schema. */
export function endpoint<C extends AdminCall, B extends z.ZodType>(
  entry: Pick<Endpoint, 'method' | 'path' | 'summary' | 'answer'> &
    Partial<Pick<Endpoint, 'query' | 'status' | 'needsRevision'>> & {
      readonly body?: B
      readonly handle: (call: C, body: z.infer<B>) => Promise<AdminResult>
    },
): Endpoint<C> {
  return {
    query: [],
    status: 200,
    needsRevision: false,
    ...entry,
    body: entry.body ?? null,
    handle: (call, body) => entry.handle(call, body as z.infer<B>),
  }
}
