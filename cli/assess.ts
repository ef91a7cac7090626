/** `isotherm assess`: whether KV-aware routing pays for a user's own trace, and with `--size` how large a fleet it needs. */
import { writeFile } from 'node:fs/promises'
import { SingleBar } from 'cli-progress'
import type { Command } from 'commander'
import { assess as assessTrace, ENDPOINTS_MAX, type Assessment } from '../simulator/assess/assessment.ts'
import { assessmentText } from '../simulator/assess/assessment-text.ts'
import { PROFILES, REGIONS } from '../simulator/assess/world.ts'
import { BytesPerToken, TraceReader, type ReadTrace } from '../simulator/assess/trace-reader.ts'
import { integer, oneOf, positive, within } from './argument.ts'
import { boundedLines } from './bounded-lines.ts'

export interface AssessOptions {
  readonly trace: string
  readonly endpoints: number
  readonly regions: number
  readonly profile: string
  readonly dramGib?: number
  readonly nvmeGib: number
  readonly speed: number
  readonly seeds: number
  readonly requests: number
  readonly model?: string
  readonly rate?: number
  readonly size?: boolean
  readonly sloTtftP90Ms?: number
  readonly sloTtftP99Ms?: number
  readonly sloTpotP90Ms?: number
  readonly dramGibMax: number
  readonly nvmeGibMax: number
  readonly json?: string
}

export class AssessFailure extends Error {
  override readonly name = 'AssessFailure'
}

/** More than 1e9 tokens of any model, which is what a tier of the simulated engine can have. */
const GIB_MAX = 60_000
const LINE_BYTES_MAX = 16 * 1024 * 1024

export function addAssessCommand(program: Command): void {
  program
    .command('assess')
    .description('say whether KV-aware routing pays for your own trace, by simulation')
    .requiredOption('--trace <file>', "trace in Mooncake's format, or JSON lines of OpenAI-style requests")
    .option('--endpoints <count>', 'engines that serve', integer(1, ENDPOINTS_MAX), 8)
    .option('--regions <count>', 'regions that they stand in', integer(1, REGIONS.length), 1)
    .option('--profile <name>', `engine: ${PROFILES.join(', ')}`, oneOf(PROFILES), PROFILES[0])
    .option(
      '--dram-gib <gib>',
      'DRAM for KV of an endpoint; default: as the profile has it',
      within(0, GIB_MAX),
    )
    .option('--nvme-gib <gib>', 'NVMe for KV of an endpoint', within(0, GIB_MAX), 0)
    .option('--speed <factor>', 'multiplies the load: divides the time between requests', positive, 1)
    .option('--seeds <count>', 'seeds to play', integer(2, 20), 3)
    .option('--requests <count>', 'requests to look at, from the first on', integer(1, 500_000), 5000)
    .option('--model <model>', 'only requests for this model')
    .option('--rate <perSecond>', 'requests a second, in place of the times in the log', positive)
    .option('--size', 'find the smallest fleet that keeps an SLO')
    .option('--slo-ttft-p90-ms <ms>', 'the SLO', positive)
    .option('--slo-ttft-p99-ms <ms>', 'a further bound of it', positive)
    .option('--slo-tpot-p90-ms <ms>', 'a further bound of it', positive)
    .option('--dram-gib-max <gib>', 'most DRAM for KV that an endpoint can have', within(0, GIB_MAX), 1024)
    .option('--nvme-gib-max <gib>', 'most NVMe for KV that an endpoint can have', within(0, GIB_MAX), 8192)
    .option('--json <file>', 'write the result as JSON here; equal seeds give equal bytes')
    .action(assess)
}

export async function assess(options: AssessOptions): Promise<void> {
  const assessment = await runAssess(options)
  process.stdout.write(`${assessmentText(assessment)}\n`)
  if (options.json) await writeFile(options.json, `${JSON.stringify(assessment, rounded, 2)}\n`)
}

export async function runAssess(options: AssessOptions): Promise<Assessment> {
  const { endpoints, regions, profile, dramGib, nvmeGib, speed, requests, sloTtftP90Ms } = options
  if (endpoints < regions)
    throw new AssessFailure(`--endpoints ${endpoints} is less than --regions ${regions}`)
  const isSized = options.size ?? false
  if (isSized !== (sloTtftP90Ms !== undefined))
    throw new AssessFailure('--size needs --slo-ttft-p90-ms, and --slo-ttft-p90-ms needs --size')
  const trace = await readTrace(options)
  const bar = new SingleBar({
    format: '{bar} {value}/{total} runs at most, {what}',
    stream: process.stderr,
    noTTYOutput: false,
  })
  bar.start(1, 0, { what: '' })
  try {
    return assessTrace(
      {
        trace,
        fleet: { endpoints, regions, profile, dramGib: dramGib ?? null, nvmeGib },
        speed,
        seeds: Array.from({ length: options.seeds }, (_, i) => i + 1),
        requestsMax: requests,
        size:
          sloTtftP90Ms === undefined
            ? null
            : {
                slo: {
                  ttftP90Ms: sloTtftP90Ms,
                  ttftP99Ms: options.sloTtftP99Ms ?? null,
                  tpotP90Ms: options.sloTpotP90Ms ?? null,
                },
                dramGib: options.dramGibMax,
                nvmeGib: options.nvmeGibMax,
              },
      },
      (what, runsMax) => {
        bar.setTotal(runsMax)
        bar.increment(1, { what })
      },
    )
  } catch (error) {
    throw new AssessFailure(`${options.trace}: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    bar.stop()
  }
}

/** Reads the file twice: the length of a token in bytes must be known before prompts are cut into blocks of tokens. */
async function readTrace({ trace: path, model, rate }: AssessOptions): Promise<ReadTrace> {
  const encoder = new TextEncoder()
  try {
    const ratio = new BytesPerToken(encoder)
    for await (const line of boundedLines(path, LINE_BYTES_MAX)) {
      ratio.take(line)
      if (ratio.isSure) break
    }
    const bytesPerToken = ratio.value
    const reader = new TraceReader({
      encoder,
      ...(model === undefined ? {} : { model }),
      ...(rate === undefined ? {} : { ratePerS: rate }),
      ...(bytesPerToken === undefined ? {} : { bytesPerToken }),
    })
    let number = 0
    for await (const line of boundedLines(path, LINE_BYTES_MAX)) {
      reader.take(line, ++number)
      if (reader.cut !== null) break
    }
    return reader.finish()
  } catch (error) {
    throw new AssessFailure(`${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Five significant digits: more would be noise in the file. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value
}
