/**
 * The ledgers on disk, so that a restarted agent knows its prompts: written whole beside the old file and renamed over it, now
 * and then and at the end. A file that is not ours, of other models, or damaged is left aside with a word in the log.
 */
import { createHmac } from 'node:crypto'
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as yieldToRequests, setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import type { Logger } from 'pino'
import { z } from 'zod'
import type { Cluster, ModelState } from './cluster.ts'
import { BLOCKS_KEPT_MAX, ledgerWords, restoreLedger, type LedgerWords } from './ledger/ledger-words.ts'

const FILE = 'prefix-ledger.bin'
const VERSION = 1
const INTERVAL_MS = 30_000
const FILE_BYTES_MAX = 64 * 1024 * 1024
const HEADER_BYTES_MAX = 64 * 1024
const WORD_BYTES = 4
const LINE_FEED = 0x0a

/** One line of JSON, then the words of each model in turn, little-endian. */
const headerSchema = z.strictObject({
  version: z.literal(VERSION),
  /** Which secret the PrefixKeys come from: under another they mean nothing. */
  secret: z.string(),
  crc32: z.int(),
  models: z.array(
    z.strictObject({
      model: z.string(),
      blockTokens: z.int().positive(),
      bytesPerToken: z.number().positive(),
      markerWords: z.int().nonnegative(),
      blockWords: z.int().nonnegative(),
    }),
  ),
})

export class LedgerStore {
  readonly #cluster: Cluster
  readonly #folder: string
  readonly #log: Logger
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(cluster: Cluster, folder: string, log: Logger) {
    this.#cluster = cluster
    this.#folder = folder
    this.#log = log
  }

  /** How many markers were restored. Never rejects: an agent starts without what it knew rather than not at all. */
  async restore(): Promise<number> {
    const path = join(this.#folder, FILE)
    try {
      const { size } = await stat(path)
      if (size > FILE_BYTES_MAX) throw new Error('it is too large')
      const restored = this.#restoreFrom(await readFile(path))
      this.#log.info({ markers: restored }, 'what was learnt before is restored')
      return restored
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (!isMissing) this.#log.warn({ path, error: describe(error) }, 'the file of the ledger is not used')
      return 0
    }
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Writes once more. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
    await this.#write()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await sleep(INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined)
      if (!signal.aborted) await this.#write()
    }
  }

  async #write(): Promise<void> {
    try {
      const models: z.infer<typeof headerSchema>['models'] = []
      const parts: Buffer[] = []
      for (const [model, state] of this.#models()) {
        const { index, ledger, ratio } = state
        const words = await this.#wordsOf(state)
        if (index.blockTokens === 0 || ledger.size === 0) continue
        models.push({
          model,
          blockTokens: index.blockTokens,
          bytesPerToken: ratio.bytesPerToken,
          markerWords: words.markers.length,
          blockWords: words.blocks.length,
        })
        parts.push(bytesOf(words.markers), bytesOf(words.blocks))
      }
      const body = Buffer.concat(parts)
      const header = { version: VERSION, secret: this.#secret(), crc32: crc32(body), models }
      await this.#replace(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), body]))
    } catch (error) {
      this.#log.error({ folder: this.#folder, error: describe(error) }, 'the ledger could not be written')
    }
  }

  async #wordsOf({ index, ledger }: ModelState): Promise<LedgerWords> {
    const steps = ledgerWords(index, ledger, BLOCKS_KEPT_MAX)
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value
      await yieldToRequests()
    }
  }

  /** A crash leaves the old file or the new one, never half of one. */
  async #replace(bytes: Buffer): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    const path = join(this.#folder, FILE)
    const file = await open(`${path}.new`, 'w', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.new`, path)
  }

  #restoreFrom(bytes: Buffer): number {
    const end = bytes.subarray(0, HEADER_BYTES_MAX).indexOf(LINE_FEED)
    if (end < 0) throw new Error('it has no header')
    const header = headerSchema.parse(JSON.parse(bytes.subarray(0, end).toString('utf8')))
    if (header.secret !== this.#secret()) throw new Error('it was written under another prefix secret')
    const body = bytes.subarray(end + 1)
    if (crc32(body) !== header.crc32) throw new Error('it is damaged')
    let restored = 0
    let at = 0
    const states = new Map(this.#models())
    for (const { model, blockTokens, bytesPerToken, markerWords, blockWords } of header.models) {
      const markers = wordsOf(body, at, markerWords)
      const blocks = wordsOf(body, at + markerWords * WORD_BYTES, blockWords)
      at += (markerWords + blockWords) * WORD_BYTES
      const state = states.get(model)
      if (!state) continue
      state.index.assumeBlockTokens(blockTokens)
      state.ratio.restore(bytesPerToken)
      restored += restoreLedger(state.index, state.ledger, { markers, blocks })
    }
    return restored
  }

  #models(): [string, ModelState][] {
    const bases = this.#cluster.config.models.filter(({ adapterOf }) => adapterOf === undefined)
    return bases.map((model) => [model.model, this.#cluster.state(model)])
  }

  /** Tells secrets apart without telling the secret. */
  #secret(): string {
    return createHmac('sha256', this.#cluster.config.secrets.prefix)
      .update('isotherm-ledger-v1')
      .digest('hex')
  }
}

function bytesOf(words: Uint32Array): Buffer {
  return Buffer.from(words.buffer, words.byteOffset, words.byteLength)
}

function wordsOf(bytes: Buffer, from: number, length: number): Uint32Array {
  if (from + length * WORD_BYTES > bytes.length) throw new Error('it is shorter than it says')
  // A copy: the words must lie where words may.
  return new Uint32Array(new Uint8Array(bytes.subarray(from, from + length * WORD_BYTES)).buffer)
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
