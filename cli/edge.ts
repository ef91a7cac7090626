/**
 * The edge on bare workerd: the Worker of `wrangler.toml` bundled by wrangler, with a configuration generated from the
 * same file. `wrangler dev` is ten times slower and hides client aborts.
 */
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { unstable_readConfig } from 'wrangler'
import { z } from 'zod'
import { workerdConfigText } from './local/workerd-config.ts'
import { Part, PartFailure } from './part.ts'
import { ROOT } from './root.ts'

export interface EdgeBundle {
  readonly folder: string
  readonly compatibilityDate: string
  readonly compatibilityFlags: readonly string[]
  readonly durableObjects: readonly { readonly binding: string; readonly className: string }[]
}

const durableObjectsSchema = z.array(z.object({ name: z.string(), class_name: z.string() }))

const BUNDLE_MS_MAX = 120_000
const LISTEN_MS_MAX = 30_000

/** Bundles the Worker that `configPath` describes into `folder`; by default the edge. */
export async function bundleEdge(
  folder: string,
  configPath: string = join(ROOT, 'wrangler.toml'),
): Promise<EdgeBundle> {
  const wrangler = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
  await mkdir(folder, { recursive: true })
  await promisify(execFile)(
    process.execPath,
    [wrangler, 'deploy', '--dry-run', '--config', configPath, '--outdir', join(folder, 'bundle')],
    {
      cwd: ROOT,
      timeout: BUNDLE_MS_MAX,
      env: {
        ...process.env,
        WRANGLER_SEND_METRICS: 'false',
        WRANGLER_LOG_PATH: join(folder, 'wrangler-logs'),
        CI: 'true',
      },
    },
  ).catch((error: { stderr?: string; message: string }) => {
    throw new PartFailure(`bundling the Worker failed:\n${error.stderr ?? error.message}`)
  })
  const config = unstable_readConfig({ config: configPath }, { hideWarnings: true })
  return {
    folder,
    compatibilityDate: config.compatibility_date ?? '',
    compatibilityFlags: config.compatibility_flags,
    durableObjects: durableObjectsSchema
      .parse(config.durable_objects.bindings)
      .map(({ name, class_name }) => ({ binding: name, className: class_name })),
  }
}

/** Starts workerd on loopback and waits until it takes connections. */
export async function startEdge(options: {
  readonly bundle: EdgeBundle
  readonly port: number
  /** Variables and secrets of the Worker. */
  readonly text: Readonly<Record<string, string>>
  readonly logFile: string
}): Promise<Part> {
  const { bundle, port } = options
  const configFile = join(bundle.folder, `workerd-${port}.capnp`)
  const { durableObjects, compatibilityDate, compatibilityFlags } = bundle
  const objectsFolder = objectsFolderOf(bundle, port)
  await mkdir(objectsFolder, { recursive: true })
  const text = workerdConfigText({
    objectsFolder,
    address: `127.0.0.1:${port}`,
    bundle: 'bundle/index.js',
    compatibilityDate,
    compatibilityFlags,
    durableObjects,
    text: options.text,
  })
  // The file holds the secrets of this run.
  await writeFile(configFile, text, { mode: 0o600 })
  const require = createRequire(join(ROOT, 'package.json'))
  const { default: workerd } = require('workerd') as { default: string }
  const { part } = await Part.start({
    name: 'edge (workerd)',
    command: process.execPath,
    args: [join(ROOT, 'cli/guard.mjs'), workerd, 'serve', configFile],
    logFile: options.logFile,
    announces: false,
  })
  let failure: PartFailure | null = null
  part.onCrash((crash) => {
    failure = crash
  })
  const giveUpMs = performance.now() + LISTEN_MS_MAX
  while (!(await canConnect(port))) {
    if (failure) throw failure
    if (performance.now() > giveUpMs) {
      await part.stop()
      throw new PartFailure(`workerd did not listen on port ${port} within ${LISTEN_MS_MAX / 1000} s`)
    }
    await sleep(50)
  }
  return part
}

/** Storage of the edge's objects: it outlives the process, as in production. */
export function objectsFolderOf({ folder }: Pick<EdgeBundle, 'folder'>, port: number): string {
  return join(folder, `objects-${port}`)
}

/** Whether somebody listens on a loopback port. */
export function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
