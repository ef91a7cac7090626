/** A real vLLM on CPU with a tiny random model, as a process that can be killed and started again on the same ports. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../support/wait.ts'

export const MODEL = 'tiny'
export const ADAPTERS = ['adapter-a', 'adapter-b'] as const
export const MODEL_FOLDER = fileURLToPath(new URL('../fixtures/vllm/model', import.meta.url))
export const VENV = process.env['ISOTHERM_VLLM'] ?? join(homedir(), '.cache/isotherm-vllm')
/** The CPU attention kernel takes multiples of 32 only. */
export const BLOCK_TOKENS = 32
/** Unless told otherwise. */
export const CONTEXT_TOKENS = 1024
const START_MS_MAX = 400_000

export interface VllmOptions {
  readonly name: string
  /** Usable blocks are one less. */
  readonly blocks?: number
  readonly contextTokens?: number
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export interface Vllm {
  readonly name: string
  readonly url: string
  readonly events: string
  readonly replay: string
  readonly isUp: () => boolean
  start(): Promise<void>
  /** Without a farewell. */
  kill(): Promise<void>
  post(path: string, body: object): Promise<Response>
}

/** Not started yet. Output goes to `<VENV>/<name>.log`. */
export async function vllm({
  name,
  blocks = 97,
  contextTokens = CONTEXT_TOKENS,
  flags = [],
  env = {},
}: VllmOptions): Promise<Vllm> {
  const [port, eventsPort, replayPort] = await freePorts(3)
  let child: ChildProcess | null = null
  const url = `http://127.0.0.1:${port}`
  const kvEvents = {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint: `tcp://*:${eventsPort}`,
    replay_endpoint: `tcp://*:${replayPort}`,
  }
  const args = [
    'serve', MODEL_FOLDER, '--served-model-name', MODEL, '--host', '127.0.0.1', '--port', String(port),
    '--load-format', 'dummy', '--dtype', 'float32', '--enforce-eager', '--max-model-len', String(contextTokens),
    '--hf-overrides', JSON.stringify({ max_position_embeddings: contextTokens }),
    '--max-num-seqs', '8', '--block-size', String(BLOCK_TOKENS), '--num-gpu-blocks-override', String(blocks),
    '--prefix-caching-hash-algo', 'sha256_cbor', '--enable-prompt-tokens-details',
    '--kv-events-config', JSON.stringify(kvEvents), ...flags,
  ] // prettier-ignore
  return {
    name,
    url,
    events: `tcp://127.0.0.1:${eventsPort}`,
    replay: `tcp://127.0.0.1:${replayPort}`,
    isUp: () => child !== null && child.exitCode === null && child.signalCode === null,
    async start() {
      const log = createWriteStream(join(VENV, `${name}.log`))
      child = spawn(join(VENV, 'bin/vllm'), args, {
        // Its own group: the engine core is a process of its own, and dies with the server only when asked to.
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...process.env,
          HF_HUB_OFFLINE: '1',
          TRANSFORMERS_OFFLINE: '1',
          VLLM_NO_USAGE_STATS: '1',
          DO_NOT_TRACK: '1',
          VLLM_SERVER_DEV_MODE: '1',
          VLLM_CPU_KVCACHE_SPACE: '1',
          VLLM_CPU_OMP_THREADS_BIND: 'nobind',
          OMP_NUM_THREADS: '1',
          VLLM_HOST_IP: '127.0.0.1',
          ...env,
        },
      })
      child.stdout?.pipe(log)
      child.stderr?.pipe(log)
      await until(
        `${name} to start (see ${VENV}/${name}.log)`,
        async () => {
          if (child?.exitCode !== null) throw new Error(`${name} ended with ${String(child?.exitCode)}`)
          return fetch(`${url}/health`).then(
            ({ ok }) => ok,
            () => false,
          )
        },
        START_MS_MAX,
      )
    },
    async kill() {
      const dying = child
      if (!dying?.pid || dying.exitCode !== null || dying.signalCode !== null) return
      const gone = new Promise((resolve) => dying.once('exit', resolve))
      process.kill(-dying.pid, 'SIGKILL')
      await gone
    },
    post: (path, body) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
  }
}

/** Free now; nobody else on this machine is asked. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer()
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return server
    }),
  )
  const ports = servers.map((server) => {
    const address = server.address()
    return typeof address === 'object' && address ? address.port : 0
  })
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
