/** `node cluster-agent/main.ts --config FILE [--exit-with-parent]`: the agent as a process. */
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { startAgent } from './agent.ts'
import { ConfigError, readAgentConfig } from './config.ts'
import { LOG_LINES } from './log-lines.ts'

/** Draining takes seconds. An agent that has not ended by then hangs, and nobody can tell it anything any more. */
const STOP_MS_MAX = 30_000

const { values } = parseArgs({
  options: { config: { type: 'string' }, 'exit-with-parent': { type: 'boolean', default: false } },
})
const log = pino({ name: 'cluster-agent' }, LOG_LINES)

try {
  if (values.config === undefined) throw new ConfigError('--config FILE is needed')
  const config = await readAgentConfig(values.config, process.env)
  log.level = config.logLevel
  const agent = await startAgent(config, log)
  let isStopping = false
  const stop = async () => {
    if (isStopping) return
    isStopping = true
    setTimeout(() => {
      log.error('the agent did not stop in time')
      process.exit(1)
    }, STOP_MS_MAX).unref()
    await agent.stop()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop())
  if (values['exit-with-parent']) process.stdin.on('end', () => void stop()).resume()
  process.stdout.write(`${JSON.stringify({ ready: true, url: agent.url })}\n`)
} catch (error) {
  process.stderr.write(`cluster-agent: ${describe(error)}\n`)
  process.exit(1)
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof ConfigError) return error.message
  return 'code' in error && error.code === 'EADDRINUSE'
    ? 'the port to listen on is in use'
    : (error.stack ?? error.message)
}
