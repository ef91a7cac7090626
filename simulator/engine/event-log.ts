/** The KV events of one engine on real wires, gathered in order until they leave with a step's batch. */
import { TIERS } from '../../core/tiers.ts'
import type { KvEvent } from './kv-event.ts'
import type { KvLog } from './kv-log.ts'
import type { TokenSequence } from './token-sequence.ts'

const GPU = TIERS[0].number

export class EventLog implements KvLog<bigint, TokenSequence> {
  private readonly blockTokens: number
  private events: KvEvent[] = []

  constructor(blockTokens: number) {
    this.blockTokens = blockTokens
  }

  stored(sequence: TokenSequence, from: number, end: number, sessionId: string | null): void {
    const { hashes, tokens, request } = sequence
    this.events.push({
      kind: 'stored',
      hashes: Array.from({ length: end - from }, (_, i) => hashes.value(from + i)),
      parent: from === 0 ? null : hashes.value(from - 1),
      tokens: tokens.slice(from * this.blockTokens, end * this.blockTokens),
      blockTokens: this.blockTokens,
      salt: request.salt,
      sessionId,
    })
  }

  removed(hash: bigint, tier: number): void {
    this.events.push({ kind: 'removed', hash, medium: tier === GPU ? 'GPU' : 'CPU' })
  }

  offloaded(hash: bigint): void {
    this.events.push({ kind: 'offloaded', hash })
  }

  cleared(): void {
    this.events.push({ kind: 'cleared' })
  }

  drain(): KvEvent[] {
    const events = this.events
    if (events.length > 0) this.events = []
    return events
  }
}
