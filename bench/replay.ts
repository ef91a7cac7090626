/**
 * The trace through the local product, once for each routing and load. Every run starts the product afresh, since the
 * caches that one routing warmed must not serve the next. Engines run at `engineSpeed`, the trace at that times the load.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatSummaries, type Summary } from '../cli/replay/summary.ts'
import { startProduct } from '../cli/product.ts'
import { runReplay } from '../cli/replay.ts'
import { ROOT } from '../cli/root.ts'
import { routingSchema } from '../protocol/edge-config.ts'
import { describeMachine } from './machine.ts'

export interface BenchReplayOptions {
  readonly trace?: string
  readonly minutes: number
  readonly engineSpeed: number
  readonly loads: string
  readonly routings: string
  readonly callers: string
  readonly port: number
  readonly json?: string
  readonly markdown?: string
}

interface Run {
  readonly load: number
  readonly name: string
  readonly summary: Summary
}

export async function benchReplay(options: BenchReplayOptions): Promise<void> {
  const loads = options.loads.split(',').map(Number)
  const routings = options.routings.split(',').map((name) => routingSchema.parse(name))
  const machine = describeMachine()
  const runs: Run[] = []
  const sections: string[] = []
  for (const load of loads) {
    for (const routing of routings) {
      console.error(`load ${load}, routing ${routing}`)
      const product = await startProduct({
        port: options.port,
        engineSpeed: options.engineSpeed,
        folder: join(ROOT, '.isotherm', `bench-${options.port}`),
        onProgress: () => undefined,
        onCrash: (failure) => console.error(failure.message),
      })
      try {
        const summary = await runReplay({
          ...(options.trace ? { trace: options.trace } : {}),
          minutes: options.minutes,
          speed: options.engineSpeed * load,
          routing,
          baseUrl: product.baseUrl,
          apiKey: product.apiKey,
          model: 'isotherm-demo',
          callers: options.callers,
          seed: 1,
        })
        runs.push({ load, name: routing, summary })
        console.error(JSON.stringify(summary))
      } finally {
        await product.stop()
      }
    }
    const table = formatSummaries(runs.filter((run) => run.load === load))
    sections.push(`Load ${load} x the trace's own:\n\n\`\`\`\n${table}\n\`\`\`\n`)
    console.log(`\nload ${load} x the trace's own\n${table}`)
  }
  if (options.json) await writeFile(options.json, `${JSON.stringify({ machine, options, runs }, null, 2)}\n`)
  if (options.markdown) await writeFile(options.markdown, markdown(options, machine, sections))
}

function markdown(
  options: BenchReplayOptions,
  machine: ReturnType<typeof describeMachine>,
  sections: string[],
): string {
  const { minutes, engineSpeed, loads, routings, callers } = options
  const source = options.trace ? "Mooncake's conversation trace" : 'the generated workload'
  const command = `npm run bench -- replay ${options.trace ? '--trace conversation_trace.jsonl ' : ''}--minutes ${minutes} --engine-speed ${engineSpeed} --loads ${loads} --routings ${routings} --callers ${callers}`
  return `# Results

The first ${minutes} minutes of ${source} through the local product: real Worker and directories on bare workerd, three
regions with two prefill and two decode engines each, wide-area latency on the links. Engines are simulated, at
${engineSpeed} x the pace of a Qwen3-32B on two H100; round trips are not scaled. Sessions call from ${callers}. The
routings choose the region; inside a cluster the agent chooses as always. Each run starts afresh. \`sticky\` hashes the first
block that not every request shares. The tables come from

    ${command}

on ${machine.cores} cores (${machine.cpu}), Node ${machine.node}, commit ${machine.commit}.

${sections.join('\n')}`
}
