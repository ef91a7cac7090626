/** `npm run bench -- NAME`: measurements. They print what they measured and assert nothing. */
import { Command } from 'commander'
import { CALLERS_USUAL } from '../cli/replay.ts'
import { benchAgentIndex } from './agent-index.ts'
import { benchChaos } from './chaos.ts'
import { benchAgent } from './agent.ts'
import { benchCancel } from './cancel.ts'
import { benchChoice } from './choice.ts'
import { benchCore } from './core.ts'
import { benchEdge } from './edge.ts'
import { benchFuzzEvents } from './fuzz-events.ts'
import { benchCost } from './cost.ts'
import { benchDirectory } from './directory.ts'
import { benchReplay } from './replay.ts'

const program = new Command('bench').description('measure Isotherm')

program
  .command('core')
  .description('the pure hot path: canonical bytes, markers, price')
  .option('--json <file>', 'write the figures as JSON here')
  .action(benchCore)

program
  .command('choice')
  .description('one decision inside a cluster of 8, 64 and 256 endpoints, and admission above the knee')
  .option('--json [file]', 'the figures as JSON, to standard output or here')
  .action(benchChoice)

program
  .command('directory')
  .description(
    'the residency map, lookups beside a call that does nothing, a snapshot of a million entries, freshness',
  )
  .option('--parts <parts>', 'parts to measure', 'map,snapshot,calls,freshness')
  .option('--json [file]', 'write the figures as JSON here')
  .action(benchDirectory)

program
  .command('cost')
  .description("the platform's monthly bill of the control plane, from its price list")
  .option('--regions <count>', 'regional directories', Number, 3)
  .option('--clusters <count>', 'clusters, each of which reports to every directory', Number, 8)
  .option('--requests-per-s <rate>', 'requests a second, all regions together', Number, 100)
  .option('--shards <count>', 'objects of each directory', Number, 1)
  .option('--markdown <file>', 'write the page here')
  .action(benchCost)

program
  .command('edge')
  .description('the edge on bare workerd beside a Worker that only pipes, and beside none')
  .option('--seconds <seconds>', 'length of each load', Number, 2)
  .option('--rounds <rounds>', 'loads of each kind, in turns', Number, 5)
  .option('--json [file]', 'the figures as JSON, to standard output or here')
  .action(benchEdge)

program
  .command('replay')
  .description('a trace through the local product, once for each routing and load, each on a fresh start')
  .option('--trace <file>', "trace in Mooncake's format; without it a generated workload")
  .option('--minutes <minutes>', 'how much of the trace to play', Number, 10)
  .option('--engine-speed <factor>', 'pace of the simulated engines', Number, 2)
  .option('--loads <loads>', "loads to play, in multiples of the trace's own", '1,2')
  .option('--routings <routings>', 'routings to compare', 'isotherm,nearest,sticky,random')
  .option('--callers <weights>', 'edge locations that callers come from, with weights', CALLERS_USUAL)
  .option('--port <port>', 'port of the endpoint', Number, 8797)
  .option('--json <file>', 'write every summary as JSON here')
  .option('--markdown <file>', 'write the tables as Markdown here')
  .action(benchReplay)

program
  .command('cancel')
  .description('how long an engine goes on prefilling for a client that has left')
  .option('--tries <tries>', 'clients that leave', Number, 10)
  .option('--port <port>', 'port of the endpoint', Number, 8797)
  .action(benchCancel)

program
  .command('agent-index')
  .description("the agent's event decoder and block index: throughput, match, memory")
  .option('--json [file]', 'write the figures as JSON here; without a file, to standard output')
  .action(benchAgentIndex)

program
  .command('fuzz-events')
  .description('random KV event payloads to both decoders: they must agree')
  .option('--inputs <inputs>', 'how many', Number, 1_000_000)
  .option('--seed <seed>', 'where to begin', Number, 1)
  .action(benchFuzzEvents)

program
  .command('agent')
  .description(
    'what the agent costs: events and index; parse, markers and choice; the relay beside a bare proxy',
  )
  .option('--parts <parts>', 'parts to measure', 'index,decision,relay')
  .option('--rounds <rounds>', 'times that each subject of the relay has its turn', Number, 5)
  .option('--seconds <seconds>', 'length of a turn', Number, 2)
  .option('--gateway <path>', "SGLang's gateway (smg of PyPI), to measure it beside the others")
  .option('--json <file>', 'write the figures as JSON here')
  .action(benchAgent)

program
  .command('chaos')
  .description(
    'an agent under lost and late events and engines that die and come back: every answer against a lone engine',
  )
  .option('--seeds <seeds>', 'how many storms', Number, 5)
  .option('--seed <seed>', 'the first of them', Number, 1)
  .option('--requests <requests>', 'requests of each, at least', Number, 200)
  .option('--kills <kills>', 'engines that die in each, in prefill, hand-off and decode in turn', Number, 9)
  .action(benchChaos)

await program.parseAsync()
