/** What a directory says, read from the text of a socket. */
import { directoryMessageSchema, type DirectoryMessage } from '../../protocol/report.ts'

/** Longest message: an acknowledgement that names every outcome of a batch stays below it. */
const TEXT_CHARS_MAX = 16_384

/** null when `data` is no message of a directory. */
export function parseDirectoryMessage(data: unknown): DirectoryMessage | null {
  if (typeof data !== 'string' || data.length > TEXT_CHARS_MAX) return null
  try {
    const parsed = directoryMessageSchema.safeParse(JSON.parse(data))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
