/** A process of the bench and what is asked of it: its address, its processor time. */
import { fork, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'

/** Microseconds of processor time so far: of all threads, and of the one that serves (null: not known). */
export interface Cpu {
  readonly allUs: number
  readonly servingUs: number | null
}

export interface BenchProcess {
  /** What it said when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>
  cpu(): Promise<Cpu>
  stop(): void
}

/** Starts `file` with `argument` as JSON; it sends one message when it is ready. */
export async function startProcess(file: string, argument: unknown): Promise<BenchProcess> {
  const child = fork(new URL(file, import.meta.url), [JSON.stringify(argument)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ready = (await messageOf(child, file)) as Record<string, unknown>
  return {
    ready,
    cpu() {
      child.send('cpu')
      return messageOf(child, file) as Promise<Cpu>
    },
    stop: () => void child.kill(),
  }
}

function messageOf(child: ChildProcess, file: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const fail = (reason: unknown) => reject(new Error(`${file} ended: ${String(reason)}`))
    child.once('error', fail)
    child.once('exit', fail)
    child.once('message', (message) => {
      child.off('error', fail)
      child.off('exit', fail)
      resolve(message)
    })
  })
}

/** Of a process that is not ours. Linux counts it in ticks of 10 ms. */
export async function cpuOf(pid: number): Promise<Cpu> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { allUs: (Number(fields[11]) + Number(fields[12])) * 10_000, servingUs: null }
}

/** In the process itself: what it was asked with, and its word that it is ready. */
export function argumentOf(): unknown {
  return JSON.parse(process.argv[2] ?? 'null')
}

export function sayReady(ready: object): void {
  process.on('message', () => {
    const all = process.cpuUsage()
    const serving = process.threadCpuUsage()
    const cpu: Cpu = { allUs: all.user + all.system, servingUs: serving.user + serving.system }
    process.send?.(cpu)
  })
  process.send?.(ready)
}
