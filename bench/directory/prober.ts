/**
 * A thread that asks the same question again and again, one call after another: what else the benchmark does must not hold
 * it up. Every message is answered with the waits since the last one, in milliseconds.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { request } from 'undici'

const url = String(workerData)
let waits: number[] = []

parentPort?.on('message', () => {
  parentPort?.postMessage(waits, [])
  waits = []
})

for (;;) {
  const startMs = performance.now()
  await (await request(url)).body.text()
  waits.push(performance.now() - startMs)
}
