/**
 * The simulator as a process: `node simulator/serve.ts --config file.json [--exit-with-parent]`. It prints one line of
 * JSON on stdout when everything listens, and ends on SIGTERM, SIGINT, or, with the flag, when its stdin ends.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { engineOptionsSchema } from './engine-options.ts'
import { startEngine, type RunningEngine } from './engine-server.ts'
import { startLink, type RunningLink } from './link.ts'
import { demoTokenizerFiles } from './model/tokenizer-files.ts'

const linkSchema = z.object({
  name: z.string().min(1).max(200),
  host: z.string().min(1).default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(0),
  target: z.object({ host: z.string().min(1), port: z.int().min(1).max(65_535) }),
  rttMs: z.number().min(0).max(60_000).default(0),
})

const serveConfigSchema = z.object({
  modelDir: z.string().min(1).optional().describe("Where the demo model's tokenizer files are written"),
  engines: z.array(engineOptionsSchema).max(64).default([]),
  links: z.array(linkSchema).max(256).default([]),
})
type ServeConfig = z.infer<typeof serveConfigSchema>

type Part = RunningEngine | RunningLink

const parts: Part[] = []
let isStopping = false

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { config: { type: 'string' }, 'exit-with-parent': { type: 'boolean', default: false } },
  })
  if (values.config === undefined) throw new Error('--config FILE is missing')
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(0))
  if (values['exit-with-parent']) {
    process.stdin.on('end', () => void stop(0)).on('error', () => void stop(0))
    process.stdin.resume()
  }
  const config = readConfig(await readFile(values.config, 'utf8'), values.config)
  await writeModel(config.modelDir)
  const ready = await startAll(config)
  process.stdout.write(`${JSON.stringify({ ready: true, ...ready })}\n`)
}

function readConfig(text: string, file: string): ServeConfig {
  const parsed = serveConfigSchema.safeParse(JSON.parse(text))
  if (parsed.success) return parsed.data
  const issues = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  throw new Error(`${file}: ${issues.join('; ')}`)
}

async function writeModel(folder: string | undefined): Promise<void> {
  if (folder === undefined) return
  const { tokenizerJson, tokenizerConfigJson } = demoTokenizerFiles()
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'tokenizer.json'), tokenizerJson)
  await writeFile(join(folder, 'tokenizer_config.json'), tokenizerConfigJson)
}

async function startAll(config: ServeConfig): Promise<object> {
  const engines: object[] = []
  const links: object[] = []
  for (const options of config.engines) {
    const engine = await startEngine(options)
    parts.push(engine)
    const { name, url, eventsEndpoint, replayEndpoint } = engine
    engines.push({ name, url, eventsEndpoint, replayEndpoint })
  }
  for (const options of config.links) {
    const link = await startLink(options)
    parts.push(link)
    links.push({ name: options.name, url: link.url, port: link.port })
  }
  return { engines, links }
}

async function stop(code: number): Promise<void> {
  if (isStopping) return
  isStopping = true
  await Promise.all(parts.map((part) => part.stop()))
  process.exit(code)
}

try {
  await main()
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error)
  process.stderr.write(`simulator: ${reason.replaceAll('\n', ' ')}\n`)
  await stop(1)
}
