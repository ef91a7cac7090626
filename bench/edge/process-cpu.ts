/** Processor time of a process and its children so far, from Linux's /proc; null elsewhere. */
import { readFile } from 'node:fs/promises'

const TICK_MS = 10

export async function cpuMsOf(pid: number): Promise<number | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ownMs = (Number(fields[11]) + Number(fields[12])) * TICK_MS
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean)
    const childMs = await Promise.all(children.map((child) => cpuMsOf(Number(child))))
    return childMs.reduce<number>((sum, ms) => sum + (ms ?? 0), ownMs)
  } catch {
    return null
  }
}
