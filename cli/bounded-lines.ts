/** Lines of a file, none longer than a bound: a longer one comes as null and costs no more memory than the bound. */
import { createReadStream } from 'node:fs'

const NEWLINE = 0x0a

export async function* boundedLines(path: string, lineBytesMax: number): AsyncGenerator<string | null> {
  let parts: Buffer[] = []
  let bytes = 0
  const end = () => {
    const line = bytes > lineBytesMax ? null : Buffer.concat(parts).toString('utf8')
    parts = []
    bytes = 0
    return line
  }
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let from = 0
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      add(chunk.subarray(from, at))
      from = at + 1
      yield end()
    }
    add(chunk.subarray(from))
  }
  if (bytes > 0) yield end()

  function add(part: Buffer): void {
    bytes += part.length
    if (bytes > lineBytesMax) parts = []
    else parts.push(part)
  }
}
