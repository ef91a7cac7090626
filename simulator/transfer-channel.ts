/**
 * The side channel between prefill and decode engines, in place of NIXL's: HTTP on `remote_port`. It carries verdicts,
 * not KV. A decode engine pulls (uses the lease up), renews while it waits for space, and ends the lease when it has
 * read.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import type { PullVerdict } from './engine/lease-table.ts'
import { listen, readBody } from './http-io.ts'
import type { TransferSource } from './wire/transfer-params.ts'

const CALL_MS_MAX = 5000
const BODY_BYTES_MAX = 16 << 20

const callSchema = z.object({
  action: z.enum(['pull', 'renew', 'end']),
  engineId: z.string().max(200),
  /** NIXL refuses peers of another engine version. */
  version: z.string().max(50),
  requestId: z.string().max(1000),
  blockIds: z.array(z.int()).max(1_000_000),
  seed: z.number(),
})
type TransferCall = z.infer<typeof callSchema>

/** What the prefill engine does for each call. */
export interface TransferHost {
  readonly engineId: string
  readonly version: string
  pull(requestId: string, blockIds: readonly number[], seed: number): PullVerdict
  renew(requestId: string): void
  end(requestId: string): void
}

export interface TransferChannel {
  readonly port: number
  close(): void
}

/** Listens for decode engines. */
export async function startTransferChannel(
  host: string,
  port: number,
  owner: TransferHost,
): Promise<TransferChannel> {
  const server: Server = createServer((request, response) => {
    void readBody(request, BODY_BYTES_MAX)
      .then((text) => answer(owner, callSchema.parse(JSON.parse(text))))
      .catch(() => ({ status: 400, body: {} }))
      .then(({ status, body }) => response.writeHead(status).end(JSON.stringify(body)))
  })
  await listen(server, host, port)
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

function answer(owner: TransferHost, call: TransferCall): { status: number; body: object } {
  if (call.engineId !== owner.engineId) return { status: 404, body: {} }
  if (call.version !== owner.version) return { status: 409, body: {} }
  if (call.action === 'pull')
    return { status: 200, body: { verdict: owner.pull(call.requestId, call.blockIds, call.seed) } }
  if (call.action === 'renew') owner.renew(call.requestId)
  else owner.end(call.requestId)
  return { status: 200, body: {} }
}

/** Asks the prefill engine for the KV. `unreachable`: it is gone, is another one now, or has another version. */
export async function pullTransfer(
  source: TransferSource,
  version: string,
  seed: number,
): Promise<PullVerdict | 'unreachable'> {
  const body = await call(source, { action: 'pull', version, seed })
  const verdict = z.object({ verdict: z.enum(['intact', 'garbage', 'gone']) }).safeParse(body)
  return verdict.success ? verdict.data.verdict : 'unreachable'
}

/** Tells the prefill engine that its blocks are still wanted, or no longer. A lost call costs at most the lease. */
export function notifyTransfer(source: TransferSource, version: string, action: 'renew' | 'end'): void {
  void call(source, { action, version, seed: 0 })
}

async function call(
  { host, port, engineId, requestId, blockIds }: TransferSource,
  fields: Pick<TransferCall, 'action' | 'version' | 'seed'>,
): Promise<unknown> {
  const body: TransferCall = {
    ...fields,
    engineId,
    requestId,
    blockIds: fields.action === 'pull' ? [...blockIds] : [],
  }
  try {
    const response = await fetch(`http://${host}:${port}/`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(CALL_MS_MAX),
    })
    return response.ok ? await response.json() : null
  } catch {
    return null
  }
}
