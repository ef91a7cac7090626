/** A request's body in one buffer, within its bound. */
import type { IncomingMessage } from 'node:http'
import { RouteError } from '../protocol/errors.ts'
import { isObject, type JsonObject } from './handoff/json.ts'

/** An announced length is believed up to here; beyond it memory is taken as bytes come. */
const BELIEVED_BYTES_MAX = 1024 * 1024

/** Rejects with `body_too_large`, or when the client leaves before its body is whole. */
export function readBody(req: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const announced = Number(req.headers['content-length'] ?? 0)
  const isBelieved = announced > 0 && announced <= Math.min(BELIEVED_BYTES_MAX, bytesMax)
  return new Promise((resolve, reject) => {
    const tooLarge = () =>
      reject(new RouteError('body_too_large', `The body is larger than ${bytesMax} bytes.`))
    if (announced > bytesMax) {
      tooLarge()
      return
    }
    let whole: Buffer = isBelieved ? Buffer.allocUnsafe(announced) : Buffer.alloc(0)
    const chunks: Buffer[] = []
    let bytes = 0
    req.on('data', (chunk: Buffer) => {
      if (isBelieved) chunk.copy(whole, bytes)
      else chunks.push(chunk)
      bytes += chunk.length
      if (bytes <= bytesMax) return
      req.pause()
      tooLarge()
    })
    req.once('end', () => {
      if (!isBelieved) whole = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, bytes)
      resolve(whole)
    })
    req.once('error', reject)
    req.once('close', () => {
      if (!req.complete) reject(new RouteError('invalid_request', 'The body ended early.'))
    })
  })
}

export function parseObject(bytes: Buffer): JsonObject {
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new RouteError('invalid_json', 'The body is not JSON.')
  }
  if (!isObject(json)) throw new RouteError('invalid_json', 'The body is not a JSON object.')
  return json
}
