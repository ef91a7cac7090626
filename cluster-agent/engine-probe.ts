/** A short question to an engine by GET, bounded in time and size. */
import { request } from 'undici'

const ANSWER_MS_MAX = 2000
const BYTES_MAX = 8 * 1024 * 1024

/** What an engine said: the body of a 200, or nothing of use. */
interface Said {
  readonly text: string | null
  /** It did not say it in time; it may be busy. */
  readonly isLate: boolean
}

/** The body of a 200, or null. */
export async function readBounded(url: string, signal: AbortSignal): Promise<string | null> {
  return (await probe(url, signal)).text
}

export async function probe(url: string, signal: AbortSignal): Promise<Said> {
  const timeout = AbortSignal.timeout(ANSWER_MS_MAX)
  try {
    const { statusCode, body } = await request(url, { signal: AbortSignal.any([signal, timeout]) })
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > BYTES_MAX) return { text: null, isLate: false }
      chunks.push(chunk)
    }
    return { text: statusCode === 200 ? Buffer.concat(chunks).toString('utf8') : null, isLate: false }
  } catch {
    return { text: null, isLate: timeout.aborted && !signal.aborted }
  }
}
