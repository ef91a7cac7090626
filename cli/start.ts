/** `isotherm start`: the local product, a key and a `curl` to paste, and a live line until Ctrl-C. */
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LiveLine } from './live-line.ts'
import { LOCAL_MODEL, LOCAL_REGIONS } from './local/topology.ts'
import { startProduct, type Product } from './product.ts'
import { ROOT } from './root.ts'

export interface StartOptions {
  readonly port: number
  readonly engineSpeed: number
  readonly readyFile?: string
}

const PARENT_POLL_MS = 500
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Resolves when everything that it started has ended. */
export async function start(options: StartOptions): Promise<void> {
  const say = (text: string) => process.stdout.write(`${text}\n`)
  const ending = new AbortController()
  const end = () => ending.abort()
  for (const signal of SIGNALS) process.on(signal, end)
  void endWithParent(ending)

  const line = new LiveLine(process.stdout)
  let product: Product | null = null
  try {
    product = await startProduct({
      port: options.port,
      engineSpeed: options.engineSpeed,
      folder: join(ROOT, '.isotherm', `local-${options.port}`),
      onProgress: (text) => say(`isotherm: ${text}`),
      onCrash: (failure, part) => {
        line.clear()
        process.stderr.write(`isotherm: ${failure.message}\n`)
        if (part === 'edge') {
          process.exitCode = 1
          end()
        } else say('isotherm: the other parts keep serving; Ctrl-C and `npm start` brings it back')
      },
    })
    if (!ending.signal.aborted) {
      if (options.readyFile) await writeReadyFile(options.readyFile, product)
      say(welcome(product))
      await line.run(product, ending.signal)
    }
  } finally {
    line.clear()
    if (product) say('isotherm: stopping')
    await product?.stop()
    if (options.readyFile) await rm(options.readyFile, { force: true })
    for (const signal of SIGNALS) process.off(signal, end)
    ending.abort()
  }
}

function welcome({ baseUrl, apiKey }: Product): string {
  return `
Isotherm is ready: ${LOCAL_REGIONS.map(({ region }) => region).join(', ')}; two prefill and two decode engines each.

  base URL   ${baseUrl}
  API key    ${apiKey}

  curl -N -i ${baseUrl}/chat/completions \\
    -H 'authorization: Bearer ${apiKey}' -H 'content-type: application/json' \\
    -d '{"model":"${LOCAL_MODEL}","stream":true,"max_tokens":32,"messages":[{"role":"user","content":"Where is my cache warm?"}]}'

  curl -H 'authorization: Bearer ${apiKey}' ${baseUrl}/usage     # what it used and cost; ${baseUrl}/receipts/ID says why

  npx isotherm replay --base-url ${baseUrl} --api-key ${apiKey} --minutes 1

Ctrl-C ends everything.
`
}

/** Holds a secret: only its owner may read it. It appears whole or not at all. */
async function writeReadyFile(file: string, { baseUrl, apiKey, adminToken }: Product): Promise<void> {
  const draft = `${file}.${process.pid}`
  await writeFile(draft, `${JSON.stringify({ baseUrl, apiKey, adminToken })}\n`, { mode: 0o600 })
  await rename(draft, file)
}

/** Ends when the process that started this one is gone, however it died. */
async function endWithParent(ending: AbortController): Promise<void> {
  const parent = process.ppid
  while (!ending.signal.aborted) {
    await sleep(PARENT_POLL_MS, undefined, { ref: false })
    if (process.ppid !== parent) ending.abort()
  }
}
