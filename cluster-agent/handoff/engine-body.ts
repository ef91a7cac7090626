/**
 * The body that an engine gets: the client's own bytes with our fields appended, so that a long prompt is not serialised
 * again. Later keys win in the engine's parser as in ours, so what we append decides. A body that holds a field that
 * clients must not say is written anew without it.
 */
import { isObject, type JsonObject } from './json.ts'

/**
 * Fields that would read other requests' KV, forge cached counts, replace the prompt, jump the queue or break the request
 * ids of the hand-off.
 */
const FORBIDDEN_FIELDS = [
  'kv_transfer_params',
  'ec_transfer_params',
  'cache_salt',
  'request_id',
  'session_id',
  'priority',
] as const
const FORBIDDEN_XARGS = /^(kv_|ec_|remote_|do_remote_)/

export interface ClientBody {
  readonly bytes: Uint8Array
  /** The parsed bytes, without forbidden fields, with ours. */
  readonly json: JsonObject
  /** Whether `bytes` hold nothing forbidden: then they are sent as they came. */
  readonly isClean: boolean
  /** Fields of ours that `bytes` do not hold, or hold otherwise. */
  readonly added: JsonObject
}

export function cleanBody(bytes: Uint8Array, parsed: JsonObject): ClientBody {
  const found = FORBIDDEN_FIELDS.filter((name) => Object.hasOwn(parsed, name))
  const xargs = parsed['vllm_xargs']
  const hasBadXargs = isObject(xargs) && Object.keys(xargs).some((name) => FORBIDDEN_XARGS.test(name))
  if (found.length === 0 && !hasBadXargs) return { bytes, json: parsed, isClean: true, added: {} }
  const json: Record<string, unknown> = { ...parsed }
  for (const name of found) delete json[name]
  if (hasBadXargs) {
    json['vllm_xargs'] = Object.fromEntries(
      Object.entries(xargs).filter(([name]) => !FORBIDDEN_XARGS.test(name)),
    )
  }
  return { bytes, json, isClean: false, added: {} }
}

/** The body with fields of ours; those that it has already are not added. */
export function withFields(body: ClientBody, fields: JsonObject): ClientBody {
  const added = Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => body.json[name] !== value),
  )
  if (Object.keys(added).length === 0) return body
  return { ...body, json: { ...body.json, ...added }, added: { ...body.added, ...added } }
}

/** What the engine gets in one piece or two: `head`, then `tail`. `fields` are ours. */
export function engineBody(body: ClientBody, fields: JsonObject): { head: Uint8Array | null; tail: string } {
  if (!body.isClean) return { head: null, tail: JSON.stringify({ ...body.json, ...fields }) }
  const end = lastBrace(body.bytes)
  const isEmpty = isBare(body.bytes)
  const appended = JSON.stringify({ ...body.added, ...fields }).slice(1)
  return { head: body.bytes.subarray(0, end), tail: isEmpty || appended === '}' ? appended : `,${appended}` }
}

/** Whether nothing stands between the braces. */
function isBare(bytes: Uint8Array): boolean {
  let at = lastBrace(bytes) - 1
  while (at > 0 && (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09))
    at--
  return bytes[at] === 0x7b
}

/** Offset of the brace that closes the object; the bytes are known to be a JSON object. */
function lastBrace(bytes: Uint8Array): number {
  let at = bytes.length - 1
  while (at > 0 && bytes[at] !== 0x7d) at--
  return at
}
