/**
 * The Cap'n Proto text that starts bare workerd with the bundled Worker: modules, bindings and Durable Objects as
 * `wrangler.toml` names them. https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp
 */
export interface WorkerdConfigInput {
  readonly address: string
  /** Path of the bundle, relative to the configuration file. */
  readonly bundle: string
  readonly compatibilityDate: string
  readonly compatibilityFlags: readonly string[]
  readonly durableObjects: readonly { readonly binding: string; readonly className: string }[]
  /** Where the objects' storage lies. Objects in memory have neither SQL nor `storage.kv`. */
  readonly objectsFolder: string
  /** Plain text bindings: variables and secrets. */
  readonly text: Readonly<Record<string, string>>
}

/** The request header whose JSON workerd takes as `request.cf`: local callers play an edge location with it. */
export const CF_BLOB_HEADER = 'cf-blob'

export function workerdConfigText(input: WorkerdConfigInput): string {
  const objects = input.durableObjects
  const bindings = [
    ...Object.entries(input.text).map(([name, value]) => `(name = ${quote(name)}, text = ${quote(value)})`),
    ...objects.map(
      ({ binding, className }) => `(name = ${quote(binding)}, durableObjectNamespace = ${quote(className)})`,
    ),
  ]
  const namespaces = objects.map(
    ({ className }) => `(className = ${quote(className)}, uniqueKey = ${quote(className)}, enableSql = true)`,
  )
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (allow = ["public", "private", "local"])),
    (name = "objects", disk = (path = ${quote(input.objectsFolder)}, writable = true)),
  ],
  sockets = [
    (name = "http", address = ${quote(input.address)}, service = "edge", http = (cfBlobHeader = ${quote(CF_BLOB_HEADER)})),
  ],
);

const edge :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed ${quote(input.bundle)})],
  compatibilityDate = ${quote(input.compatibilityDate)},
  compatibilityFlags = [${input.compatibilityFlags.map(quote).join(', ')}],
  bindings = [
    ${bindings.join(',\n    ')},
  ],
  durableObjectNamespaces = [${namespaces.join(', ')}],
  durableObjectStorage = (localDisk = "objects"),
  globalOutbound = "internet",
);
`
}

/** A Cap'n Proto string: JSON's escapes but for \\u, so anything beyond ASCII goes out as UTF-8 bytes. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll(/\\u00([0-9a-f]{2})/g, String.raw`\x$1`)
}
