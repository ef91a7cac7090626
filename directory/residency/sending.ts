/** What a message of an agent leads to, and how it is read. */
import type { Outcome } from '../../protocol/outcome.ts'
import {
  agentMessageSchema,
  type AgentMessage,
  type DirectoryMessage,
  type REFUSAL_REASONS,
  type RESYNC_REASONS,
} from '../../protocol/report.ts'

/** Longest control message: a hello with MODELS_MAX offers stays below it. */
const TEXT_CHARS_MAX = 1024 * 1024

/** A message for one connection; `closes` ends the connection after it. */
export interface Sending {
  readonly kind: 'send'
  readonly connection: string
  readonly message: DirectoryMessage
  readonly closes: boolean
}

/** Outcomes for the ledgers of their tenants; the connection is told of the batch when they have them. */
export interface Delivery {
  readonly kind: 'deliver'
  readonly connection: string
  readonly batch: number
  readonly outcomes: readonly Outcome[]
}

export type Effect = Sending | Delivery

export type ResyncReason = (typeof RESYNC_REASONS)[number]
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

/** A message after which the connection goes on. */
export function send(connection: string, message: DirectoryMessage): Sending {
  return { kind: 'send', connection, message, closes: false }
}

/** A refusal, after which the connection ends. */
export function refuse(connection: string, reason: RefusalReason): Sending {
  return { kind: 'send', connection, message: { type: 'refused', reason }, closes: true }
}

/** null when `text` is no message of an agent. */
export function parseAgentMessage(text: string): AgentMessage | null {
  if (text.length > TEXT_CHARS_MAX) return null
  try {
    const parsed = agentMessageSchema.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
