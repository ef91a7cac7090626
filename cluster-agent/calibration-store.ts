/** Learnt costs over restarts: one small file, written whole and renamed, never trusted when read. */
import { mkdir, open, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import { z } from 'zod'
import { SAVED_MAX, type Calibration, type SavedCalibration } from './calibration/calibration.ts'

const FILE_NAME = 'costs.json'
const INTERVAL_MS = 60_000
const FILE_BYTES_MAX = 4 * 1024 * 1024
const COEFFICIENTS_MAX = 3
const TIERS_MAX = 14

const lawSchema = z.array(z.number().positive()).min(1).max(COEFFICIENTS_MAX)
const savedSchema = z.object({
  v: z.literal(1),
  endpoints: z
    .record(
      z.string().max(256),
      z.object({
        prefill: lawSchema.optional(),
        decode: lawSchema.optional(),
        transfer: lawSchema.optional(),
        adapter: lawSchema.optional(),
        tiers: z
          .record(z.string().max(64), lawSchema)
          .refine((tiers) => Object.keys(tiers).length <= TIERS_MAX)
          .optional(),
      }),
    )
    .refine((endpoints) => Object.keys(endpoints).length <= SAVED_MAX),
})

export class CalibrationStore {
  readonly #path: string | null
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  /** `folder` null: nothing is kept. */
  constructor(folder: string | null, log: Logger) {
    this.#path = folder === null ? null : join(folder, FILE_NAME)
    this.#log = log
  }

  /** What an earlier life learnt; nothing when there is no file, or none that can be believed. */
  async read(): Promise<SavedCalibration> {
    if (this.#path === null) return {}
    try {
      if ((await stat(this.#path)).size > FILE_BYTES_MAX) throw new Error('the file is too large')
      return savedSchema.parse(JSON.parse(await readFile(this.#path, 'utf8'))).endpoints
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
      this.#log.warn(
        { path: this.#path, error: describe(error) },
        'learnt costs cannot be read: learning anew',
      )
      return {}
    }
  }

  start(calibration: Calibration): void {
    if (this.#path === null) return
    this.#timer = setInterval(() => void this.write(calibration), INTERVAL_MS)
    this.#timer.unref()
  }

  async stop(calibration: Calibration): Promise<void> {
    clearInterval(this.#timer)
    await this.write(calibration)
  }

  /** One write at a time: a slow disk delays the next, and never mixes two. */
  write(calibration: Calibration): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(calibration.save()))
    return this.#writing
  }

  async #write(endpoints: SavedCalibration): Promise<void> {
    if (this.#path === null) return
    const draft = `${this.#path}.draft`
    try {
      await mkdir(dirname(this.#path), { recursive: true })
      await writeFile(draft, JSON.stringify({ v: 1, endpoints }), { mode: 0o600 })
      const file = await open(draft, 'r')
      try {
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(draft, this.#path)
    } catch (error) {
      this.#log.warn({ path: this.#path, error: describe(error) }, 'learnt costs cannot be kept')
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 500) : String(error)
}
