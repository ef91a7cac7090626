/** What an edge notes of a request. */
import type { EdgeNote } from '../../../protocol/receipt-record.ts'

export function note(requestId: string, change: Partial<EdgeNote> = {}): EdgeNote {
  return {
    requestId,
    tenant: 't',
    keyId: 'config',
    policyVersion: 3,
    api: 'chat',
    model: 'm',
    stream: true,
    edgeRegion: 'us-east',
    startedMs: 1000,
    routing: 'isotherm',
    reason: 'warm',
    knowledge: 'directory',
    candidates: [],
    rejected: [],
    attempts: [{ attempt: 1, cluster: 'us-east-1' }],
    status: 200,
    answeredMs: 20,
    ...change,
  }
}
