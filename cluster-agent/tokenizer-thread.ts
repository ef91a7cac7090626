/**
 * The tokenizer's thread as seen from the requests' thread: one piece of work at a time, each within its bound. A thread that
 * does not answer in time is ended and another started; the work that it was on is given up.
 */
import { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { TokenizerReply, TokenizerSetup, TokenizerWork, Understood } from './tokenizer-message.ts'

/** Loading the files is part of the first piece of work. */
export const WORK_MS_MAX = 15_000
/** Threads that may be lost in a row before files count as unusable. */
export const LOSSES_MAX = 3

/** Of each kind of work without the number that the thread knows it by. */
export type ThreadWork = TokenizerWork extends infer W
  ? W extends TokenizerWork
    ? Omit<W, 'id'>
    : never
  : never

interface Open {
  readonly id: number
  readonly resolve: (understood: readonly Understood[]) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export class TokenizerThread {
  readonly #setup: TokenizerSetup
  readonly #log: Logger
  readonly #workMsMax: number
  readonly #entry: URL
  #worker: Worker | null = null
  #open: Open | null = null
  #nextId = 1
  #losses = 0
  #isStopped = false
  #turn: Promise<unknown> = Promise.resolve()

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

  /** After what was asked for before. Rejects when the work fails, takes too long, or the thread dies. */
  run(work: ThreadWork): Promise<readonly Understood[]> {
    const result = this.#turn.then(() => this.#run(work))
    this.#turn = result.then(
      () => undefined,
      () => undefined,
    )
    return result
  }

  #run(work: ThreadWork): Promise<readonly Understood[]> {
    if (this.#isStopped || this.isLost) return Promise.reject(new Error('the tokenizer has ended'))
    const id = this.#nextId++
    const worker = (this.#worker ??= this.#start())
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#lose('took too long'), this.#workMsMax)
      this.#open = { id, resolve, reject, timer }
      const moved = [
        work.body.buffer,
        ...(work.kind === 'answer' ? [work.answer.buffer] : [work.markers.buffer]),
      ]
      worker.postMessage({ ...work, id }, [...new Set(moved)])
    })
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#settle((open) => open.reject(new Error('stopped')))
    const worker = this.#worker
    this.#worker = null
    await worker?.terminate()
  }

  #start(): Worker {
    const worker = new Worker(this.#entry, { workerData: this.#setup, name: 'tokenizer' })
    // The process may end while it waits for work.
    worker.unref()
    worker.on('message', (reply: TokenizerReply) => {
      if (reply.id !== this.#open?.id) return
      this.#losses = 0
      this.#settle((open) => {
        if ('error' in reply) open.reject(new Error(reply.error))
        else open.resolve(reply.understood)
      })
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
    this.#settle((open) => open.reject(new Error(`the tokenizer ${reason}`)))
  }

  #settle(end: (open: Open) => void): void {
    const open = this.#open
    if (!open) return
    this.#open = null
    clearTimeout(open.timer)
    end(open)
  }
}
