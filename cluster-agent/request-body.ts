/** A request's body in one buffer, within its bound; most come in one chunk, which is not copied. */
import type { IncomingMessage } from 'node:http'
import { RouteError } from '../protocol/errors.ts'
import { isObject, type JsonObject } from './handoff/json.ts'

/** Rejects with `body_too_large`, or when the client leaves before its body is whole. */
export function readBody(req: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const announced = Number(req.headers['content-length'] ?? 0)
  return new Promise((resolve, reject) => {
    const tooLarge = () =>
      reject(new RouteError('body_too_large', `The body is larger than ${bytesMax} bytes.`))
    if (announced > bytesMax) {
      tooLarge()
      return
    }
    const chunks: Buffer[] = []
    let bytes = 0
    req.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes <= bytesMax) return
      req.pause()
      tooLarge()
    })
    req.once('end', () => {
      const [only] = chunks
      resolve(only && chunks.length === 1 ? only : Buffer.concat(chunks, bytes))
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
