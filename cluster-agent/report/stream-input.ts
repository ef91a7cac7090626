/** What a report stream is made of, and what it asks its shell to do. */
import type { Hello } from '../../protocol/report.ts'
import type { Change } from './epoch-frames.ts'
import type { OutcomeQueue } from './outcome-queue.ts'
import type { StreamTable } from './stream-state.ts'

export type Command =
  | { readonly kind: 'dial' }
  | { readonly kind: 'send'; readonly data: string | Uint8Array<ArrayBuffer> }
  | { readonly kind: 'close' }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn'; readonly text: string; readonly reason: string }

export interface StreamInput {
  readonly hello: () => Omit<Hello, 'type' | 'v' | 'epoch'>
  /** All that is resident, as of the changes pushed so far. */
  readonly snapshot: () => readonly Change[]
  /** null: outcomes travel on another stream. */
  readonly outcomes: OutcomeQueue | null
  /** In [0, 1): epochs and delays are drawn from it. */
  readonly random: () => number
  /** Changes of one snapshot part; by default as many as a lookup may wait for. */
  readonly partMax?: number
  readonly table?: StreamTable
}
