/**
 * The nightly fuzz of the KV event decoder: random payloads to the quick and the general decoder, which must say the same
 * and never throw, hang or grow. `npm test` does the same with ten thousand.
 */
import fc from 'fast-check'
import { decodersDiffer, eventBytes, unusualCount } from '../test/support/kv-event-bytes.ts'

const CHUNK = 50_000

export function benchFuzzEvents(options: { readonly inputs: number; readonly seed: number }): void {
  const startMs = performance.now()
  let done = 0
  for (let seed = options.seed; done < options.inputs; seed++) {
    const numRuns = Math.min(CHUNK, options.inputs - done)
    const result = fc.check(
      fc.property(eventBytes, (bytes) => decodersDiffer(bytes) === null),
      { numRuns, seed },
    )
    done += result.numRuns
    if (result.failed) {
      const hex = Buffer.from(result.counterexample?.[0] ?? new Uint8Array()).toString('hex')
      console.log(`seed ${seed}: the decoders differ or one threw, for ${hex}`)
      process.exitCode = 1
      return
    }
  }
  const seconds = Math.round((performance.now() - startMs) / 1000)
  const mebibytes = Math.round(process.memoryUsage().rss / 2 ** 20)
  console.log(
    `${done} payloads in ${seconds} s: no difference, no exception; ${unusualCount()} went to the general decoder; ${mebibytes} MiB resident`,
  )
}
