/**
 * Endpoints from a file that is read again when it changes. It is polled: a ConfigMap changes by a swap of symbolic links,
 * which file watchers miss. A new file that is not valid changes nothing but the log.
 */
import { readFile, stat } from 'node:fs/promises'
import type { Logger } from 'pino'
import { parse } from 'yaml'
import { readEndpoints } from './discovery/endpoints-file.ts'
import type { EndpointSource, OnEndpoints } from './discovery/source.ts'

export const POLL_MS = 1000
const BYTES_MAX = 4 * 1024 * 1024

export class EndpointsFileSource implements EndpointSource {
  readonly #path: string
  readonly #log: Logger
  readonly #pollMs: number
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> = Promise.resolve()
  /** What was taken last, and what was read last. */
  #text: string | null = null
  #seen: string | null = null
  #faults = ''
  readonly counts = { reloads: 0, refusals: 0 }

  constructor(path: string, log: Logger, pollMs = POLL_MS) {
    this.#path = path
    this.#log = log
    this.#pollMs = pollMs
  }

  /** Rejects when the file is not valid at the start. */
  async start(onEndpoints: OnEndpoints): Promise<void> {
    await this.#read(onEndpoints)
    if (this.counts.reloads === 0) throw new Error(`${this.#path}: ${this.#faults}`)
    this.#timer = setInterval(() => {
      this.#reading = this.#reading.then(() => this.#read(onEndpoints))
    }, this.#pollMs)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#reading
  }

  async #read(onEndpoints: OnEndpoints): Promise<void> {
    let text: string
    let file: unknown
    try {
      const { size } = await stat(this.#path)
      if (size > BYTES_MAX) throw new Error(`larger than ${BYTES_MAX} bytes`)
      text = await readFile(this.#path, 'utf8')
      if (text === this.#text) return
      // Half of a file that is being written may be valid: a change counts when it is read twice.
      if (this.#text !== null && text !== this.#seen) {
        this.#seen = text
        return
      }
      this.#text = text
      file = parse(text)
    } catch (error) {
      this.#refuse([error instanceof Error ? error.message : String(error)])
      return
    }
    const reading = readEndpoints(file)
    if (reading.kind === 'invalid') {
      this.#refuse(reading.faults)
      return
    }
    this.counts.reloads++
    this.#faults = ''
    this.#log.info({ path: this.#path, endpoints: reading.specs.length }, 'endpoints file is read')
    onEndpoints(reading.specs)
  }

  /** One line for one fault, however often it is met. */
  #refuse(faults: readonly string[]): void {
    const text = faults.join('; ')
    if (text === this.#faults) return
    this.#faults = text
    this.counts.refusals++
    this.#log.error(
      { path: this.#path, faults },
      'endpoints file is not valid: the endpoints stay as they are',
    )
  }
}
