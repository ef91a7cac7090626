/**
 * The tokenizer's thread as seen from the requests' thread. What is asked for while it is at work goes to it together: waking a
 * thread costs more than a short prompt. A thread that does not answer in time is ended and another started; what it was on is
 * given up.
 */
import { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { TokenizerReply, TokenizerSetup, TokenizerWork, Understood } from './tokenizer-message.ts'

/** Of everything that goes together. */
export const WORK_MS_MAX = 15_000
/** The first work of a thread starts it and loads the files: it may take this many times as long. */
const FIRST_FACTOR = 4
/** Threads that may be lost in a row before files count as unusable. */
export const LOSSES_MAX = 3
/** Work that goes together. */
export const TOGETHER_MAX = 16

/** The thread did not end its work: nothing is said of the work itself. */
export class ThreadLost extends Error {
  override readonly name = 'ThreadLost'
}

interface Open {
  readonly work: TokenizerWork
  readonly resolve: (understood: readonly Understood[]) => void
  readonly reject: (error: Error) => void
}

interface Batch {
  readonly id: number
  readonly open: readonly Open[]
  readonly timer: NodeJS.Timeout
}

export class TokenizerThread {
  readonly #setup: TokenizerSetup
  readonly #log: Logger
  readonly #workMsMax: number
  readonly #entry: URL
  readonly #waiting: Open[] = []
  #worker: Worker | null = null
  #batch: Batch | null = null
  #nextId = 1
  #losses = 0
  #isStopped = false

  constructor(
    setup: TokenizerSetup,
    log: Logger,
    workMsMax = WORK_MS_MAX,
    entry = new URL('./tokenizer-worker.ts', import.meta.url),
  ) {
    this.#setup = setup
    this.#log = log
    this.#workMsMax = workMsMax
    this.#entry = entry
  }

  /** Whether it was lost so often that it is not to be asked again. */
  get isLost(): boolean {
    return this.#losses >= LOSSES_MAX
  }

  /** After what was asked for before. Rejects when the work fails, takes too long, or the thread dies. Callers bound how much. */
  run(work: TokenizerWork): Promise<readonly Understood[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ work, resolve, reject })
      // What is asked for in this turn goes together.
      if (this.#waiting.length === 1) queueMicrotask(() => this.#next())
    })
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#settle((open) => open.reject(new Error('stopped')))
    this.#next()
    const worker = this.#worker
    this.#worker = null
    await worker?.terminate()
  }

  #next(): void {
    if (this.#isStopped || this.isLost) {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('the tokenizer has ended'))
      return
    }
    if (this.#batch || this.#waiting.length === 0) return
    const open = this.#waiting.splice(0, TOGETHER_MAX)
    const id = this.#nextId++
    const workMs = this.#worker ? this.#workMsMax : this.#workMsMax * FIRST_FACTOR
    const timer = setTimeout(() => this.#lose('took too long'), workMs)
    this.#batch = { id, open, timer }
    const works = open.map(({ work }) => work)
    const moved = works.flatMap((work) => [
      work.body.buffer,
      work.kind === 'answer' ? work.answer.buffer : work.markers.buffer,
    ])
    this.#worker ??= this.#start()
    this.#worker.postMessage({ id, works }, [...new Set(moved)])
  }

  #start(): Worker {
    const worker = new Worker(this.#entry, { workerData: this.#setup, name: 'tokenizer' })
    // The process may end while it waits for work.
    worker.unref()
    worker.on('message', ({ id, results }: TokenizerReply) => {
      if (id !== this.#batch?.id) return
      this.#losses = 0
      this.#settle((open, at) => {
        const result = results[at] ?? { error: 'no result' }
        if ('error' in result) open.reject(new Error(result.error))
        else open.resolve(result.understood)
      })
      this.#next()
    })
    worker.on('error', (error) => {
      if (worker === this.#worker) this.#lose(error.message)
    })
    return worker
  }

  #lose(reason: string): void {
    this.#losses++
    this.#log.error({ reason, losses: this.#losses }, 'the tokenizer thread was lost')
    const worker = this.#worker
    this.#worker = null
    // Native work may hold the thread for long: nobody waits for its end.
    void worker?.terminate()
    this.#settle((open) => open.reject(new ThreadLost(`the tokenizer ${reason}`)))
    this.#next()
  }

  #settle(end: (open: Open, at: number) => void): void {
    const batch = this.#batch
    if (!batch) return
    this.#batch = null
    clearTimeout(batch.timer)
    for (const [at, open] of batch.open.entries()) end(open, at)
  }
}
