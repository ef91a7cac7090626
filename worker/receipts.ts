/** Receipts: one by its id for its tenant, all of a region in order for operators. */
import { RouteError } from '../protocol/errors.ts'
import { requestIdSchema } from '../protocol/ids.ts'
import type { ReceiptRecord } from '../protocol/receipt-record.ts'
import type { Edge } from './env.ts'
import { flush } from './flush.ts'
import type { RouteContext } from './route.ts'
import { settledWithin } from './settled-within.ts'

const RECEIPTS_MS_MAX = 3000
const PAGE = 1000

/** `GET /v1/receipts/:id`. Throws `not_found`; whether another tenant has such a request cannot be told. */
export async function receiptResponse(
  { edge, requestId, tenant }: RouteContext,
  id: string,
  region: string,
): Promise<Response> {
  if (!requestIdSchema.safeParse(id).success) throw noReceipt()
  // What this isolate has just noted is not sent yet.
  await flush(edge)
  const record =
    (await findIn(edge, [region], tenant.tenant, id)) ??
    (await findElsewhere(edge, region, tenant.tenant, id))
  if (record === null) throw noReceipt()
  return Response.json(record, { headers: { 'x-request-id': requestId, 'cache-control': 'no-store' } })
}

/** `GET /admin/receipts?region=&after=&limit=` as NDJSON; `x-isotherm-after` says where to go on. */
export async function receiptsResponse(edge: Edge, url: URL): Promise<Response> {
  const log = edge.receiptsOf(url.searchParams.get('region') ?? edge.config.homeRegion)
  if (!log) throw new RouteError('not_found', 'There is no such region.', { param: 'region' })
  const reading = log.read(count(url, 'after', 0), count(url, 'limit', PAGE))
  const page = (await settledWithin(reading, RECEIPTS_MS_MAX)) ? await reading.catch(() => null) : null
  if (page === null) throw new RouteError('tenancy_unavailable', 'The receipts of the region do not answer.')
  return new Response(page.records.map((record) => `${JSON.stringify(record)}\n`).join(''), {
    headers: { 'content-type': 'application/x-ndjson', 'x-isotherm-after': String(page.after) },
  })
}

/** A request is noted where its edge was, which need not be where its receipt is asked for. */
function findElsewhere(
  edge: Edge,
  region: string,
  tenant: string,
  id: string,
): Promise<ReceiptRecord | null> {
  const others = [...edge.regions.keys()].filter((other) => other !== region)
  return findIn(edge, others, tenant, id)
}

async function findIn(
  edge: Edge,
  regions: readonly string[],
  tenant: string,
  id: string,
): Promise<ReceiptRecord | null> {
  const finding = Promise.all(
    regions.map(
      async (region) =>
        (await edge
          .receiptsOf(region)
          ?.find(tenant, id)
          .catch(() => null)) ?? null,
    ),
  )
  if (!(await settledWithin(finding, RECEIPTS_MS_MAX))) return null
  return (await finding).find((record) => record !== null) ?? null
}

function count(url: URL, name: string, otherwise: number): number {
  const given = url.searchParams.get(name)
  if (given === null) return otherwise
  if (!/^\d{1,15}$/.test(given)) {
    throw new RouteError('invalid_request', `'${name}' is a whole number.`, { param: name })
  }
  return Number(given)
}

function noReceipt(): RouteError {
  return new RouteError('not_found', 'There is no receipt of that id, or not any more.')
}
