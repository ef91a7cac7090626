/**
 * Where log lines go: to stderr, at once. What nobody takes is dropped, a line at a time. pino's own destination tries a
 * broken pipe again for ever when the process ends, so an agent whose parent was killed would outlive it.
 */
import { writeSync } from 'node:fs'
import type { DestinationStream } from 'pino'

const STDERR = 2

export const LOG_LINES: DestinationStream = {
  write(line) {
    try {
      for (let left = Buffer.from(line); left.length > 0;) left = left.subarray(writeSync(STDERR, left))
    } catch {
      // The reader is gone, or too slow: requests do not wait for it.
    }
  },
}
