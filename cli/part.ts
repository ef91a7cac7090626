/**
 * One process of the local product: started in a process group of its own, ready when it has printed one JSON line,
 * logged to a file, and gone when its standard input closes.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'

export interface PartOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly logFile: string
  /** false: the process prints no ready line; its readiness shows elsewhere. */
  readonly announces?: boolean
}

export class PartFailure extends Error {
  override readonly name = 'PartFailure'
}

const READY_MS_MAX = 60_000
const STOP_MS_MAX = 5000
const LOG_TAIL_LINES = 8

export class Part {
  readonly name: string
  readonly #child: ChildProcess
  readonly #options: PartOptions
  readonly #exited: Promise<number | null>
  #stopping = false

  private constructor(options: PartOptions) {
    this.name = options.name
    this.#options = options
    mkdirSync(dirname(options.logFile), { recursive: true })
    const log = createWriteStream(options.logFile)
    const child = spawn(options.command, options.args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      // A group of its own: Ctrl-C in the terminal reaches the launcher only, which then stops the parts in order.
      detached: true,
    })
    this.#child = child
    child.stdin?.on('error', () => undefined)
    child.stderr?.pipe(log, { end: false })
    if (options.announces === false) child.stdout?.pipe(log, { end: false })
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        log.write(`${error.message}\n`)
        resolve(null)
      })
      child.once('close', (code) => {
        log.end()
        resolve(code)
      })
    })
  }

  /** Starts a process and waits for its ready line. `PartFailure` when it ends before, or stays silent for a minute. */
  static async start(options: PartOptions): Promise<{ part: Part; ready: unknown }> {
    const part = new Part(options)
    if (options.announces === false) return { part, ready: null }
    try {
      return { part, ready: await part.#readyLine() }
    } catch (error) {
      await part.stop()
      throw error
    }
  }

  /** Calls back once if the process ends without having been asked to. */
  onCrash(callback: (failure: PartFailure) => void): void {
    void this.#exited.then((code) => {
      if (!this.#stopping) callback(this.#failure(code))
    })
  }

  /** 0 when the process could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Ends the process as a crash would; for tests of failure. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#child.stdin?.end()
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS_MAX)
    await this.#exited
    clearTimeout(timer)
  }

  async #readyLine(): Promise<unknown> {
    const { stdout } = this.#child
    if (!stdout) throw new PartFailure(`${this.name} has no output`)
    const lines = createInterface({ input: stdout })
    let timer: NodeJS.Timeout | undefined
    const line = await Promise.race([
      new Promise<string>((resolve) => lines.once('line', resolve)),
      this.#exited.then((code) => Promise.reject(this.#failure(code))),
      new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new PartFailure(`${this.name} was not ready within a minute`)),
          READY_MS_MAX,
        )
      }),
    ]).finally(() => clearTimeout(timer))
    stdout.resume()
    return JSON.parse(line)
  }

  #failure(code: number | null): PartFailure {
    const tail = readFileSync(this.#options.logFile, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-LOG_TAIL_LINES)
      .join('\n  ')
    const how = code === null ? 'was killed' : `ended with code ${code}`
    return new PartFailure(`${this.name} ${how}. Its last words (${this.#options.logFile}):\n  ${tail}`)
  }
}
