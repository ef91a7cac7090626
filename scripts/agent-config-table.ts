/** `node scripts/run.mjs scripts/agent-config-table.ts`: writes docs/AGENT_CONFIG.md from the schema of the agent's configuration. */
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { fileSchema, secretsSchema } from '../cluster-agent/config.ts'

interface JsonSchema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly additionalProperties?: JsonSchema | boolean
  readonly anyOf?: readonly JsonSchema[]
}

interface Row {
  readonly field: string
  readonly kind: string
  readonly fallback: string
  readonly what: string
}

export const PATH = 'docs/AGENT_CONFIG.md'

export function configDocument(): string {
  const file = z.toJSONSchema(fileSchema, { io: 'input' }) as JsonSchema
  const secrets = z.toJSONSchema(secretsSchema, { io: 'input' }) as JsonSchema
  return [
    '# Configuration of the cluster agent',
    '',
    '`node cluster-agent/main.ts --config FILE`: FILE is YAML. Unknown fields are refused. A dot stands for a field within, `[]` for',
    'each item of a list, `{}` for each value by name. Written by `scripts/agent-config-table.ts` from the schema.',
    '',
    ...table(rowsOf(file, '')),
    '',
    '## Secrets, from the environment',
    '',
    ...table(rowsOf(secrets, '')),
    '',
  ].join('\n')
}

function table(rows: readonly Row[]): string[] {
  return [
    '| field | type | default | what it is |',
    '|---|---|---|---|',
    ...rows.map(({ field, kind, fallback, what }) => `| \`${field}\` | ${kind} | ${fallback} | ${what} |`),
  ]
}

function rowsOf(schema: JsonSchema, prefix: string): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => {
    const field = `${prefix}${name}`
    const isRequired = schema.required?.includes(name) === true && property.default === undefined
    const row = {
      field,
      kind: kindOf(property),
      fallback: isRequired ? 'required' : property.default === undefined ? '' : code(property.default),
      what: (property.description ?? '').replaceAll('|', '\\|'),
    }
    return [row, ...within(property, field)]
  })
}

function within(property: JsonSchema, field: string): Row[] {
  if (property.items) return rowsOf(property.items, `${field}[].`)
  if (typeof property.additionalProperties === 'object')
    return rowsOf(property.additionalProperties, `${field}{}.`)
  return rowsOf(property, `${field}.`)
}

function kindOf({ type, enum: values, items, anyOf }: JsonSchema): string {
  if (values) return values.map((value) => `\`${String(value)}\``).join(', ')
  if (anyOf) return anyOf.map(kindOf).join(' or ')
  if (type === 'array') return `list of ${items ? kindOf(items) : 'anything'}`
  return type === 'object' ? 'fields' : (type ?? 'anything')
}

function code(value: unknown): string {
  return `\`${JSON.stringify(value)}\``
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(join(dirname(dirname(fileURLToPath(import.meta.url))), PATH), configDocument())
