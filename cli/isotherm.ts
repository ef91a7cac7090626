/** The `isotherm` command. Each subcommand is a file; this one names them and turns failures into one clear message. */
import { Command } from 'commander'
import { ROUTINGS } from '../protocol/edge-config.ts'
import { integer, oneOf, positive } from './argument.ts'
import { addAssessCommand, AssessFailure } from './assess.ts'
import { events, EventsFailure } from './events.ts'
import { PartFailure } from './part.ts'
import { CALLERS_USUAL, replay, ReplayFailure } from './replay.ts'
import { start } from './start.ts'

const program = new Command('isotherm').description('Routes LLM requests to where their KV cache is warm.')

program
  .command('start')
  .description('run the whole product on this machine: three regions, simulated engines, one base URL')
  .option('--port <port>', 'port of the endpoint', integer(1, 65_535), 8787)
  .option('--engine-speed <factor>', 'how much faster than a real Qwen3-32B the engines run', positive, 1)
  .option('--ready-file <file>', 'write {baseUrl, apiKey, adminToken} as JSON here when ready')
  .action(start)

program
  .command('replay')
  .description('play a trace through a running endpoint and print latency, cache and prediction')
  .option('--trace <file>', "trace in Mooncake's format; without it a seeded workload of the same shape")
  .option('--minutes <minutes>', 'how much of the trace to play', positive, 10)
  .option('--speed <factor>', 'how much faster than recorded', positive, 1)
  .option('--routing <routing>', `one of ${ROUTINGS.join(', ')}`, oneOf(ROUTINGS), 'isotherm')
  .option('--base-url <url>', 'endpoint, ends in /v1', 'http://127.0.0.1:8787/v1')
  .option('--api-key <key>', 'API key', process.env['ISOTHERM_API_KEY'])
  .option('--model <model>', 'model to ask', 'isotherm-demo')
  .option('--callers <weights>', 'edge locations that callers come from, with weights', CALLERS_USUAL)
  .option('--seed <seed>', 'seed of the generated workload and of the callers', integer(0, 2 ** 32 - 1), 1)
  .option('--json <file>', 'write the result as JSON here')
  .action(replay)

addAssessCommand(program)

program
  .command('events')
  .description('print the KV events of an engine or of a recording, one JSON line each')
  .option('--endpoint <address>', 'ZMQ endpoint of the events, as tcp://127.0.0.1:5557')
  .option('--replay <address>', 'ZMQ endpoint of the replay: then what came before is printed first')
  .option('--file <file>', 'a recording: lines of {"frames": [topic, seq, payload]} in hex')
  .option('--summary', 'print at the end what is resident')
  .option('--tokens', 'print token ids and extra keys, which are the prompt')
  .option('--seconds <seconds>', 'end after so long; default: when interrupted', positive)
  .action(events)

/** What ends the command with its message alone. */
const FAILURES = [PartFailure, ReplayFailure, EventsFailure, AssessFailure]

try {
  await program.parseAsync()
} catch (error) {
  const failure = FAILURES.find((kind) => error instanceof kind)
  if (!failure || !(error instanceof Error)) throw error
  process.stderr.write(`isotherm: ${error.message}\n`)
  process.exitCode = 1
}
