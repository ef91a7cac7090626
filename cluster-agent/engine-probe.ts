/** A short question to an engine by GET, bounded in time and size. */
import { request } from 'undici'

const ANSWER_MS_MAX = 2000
const BYTES_MAX = 8 * 1024 * 1024

/** The body of a 200, or null. */
export async function readBounded(url: string, signal: AbortSignal): Promise<string | null> {
  try {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)])
    const { statusCode, body } = await request(url, { signal: bound })
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > BYTES_MAX) return null
      chunks.push(chunk)
    }
    return statusCode === 200 ? Buffer.concat(chunks).toString('utf8') : null
  } catch {
    return null
  }
}
