/**
 * What the model is made to say instead of words: the arguments of a tool that the request names or demands, or JSON of
 * the schema that it asks for. Values are the plainest that the schema allows.
 */
import { isObject } from './field-reader.ts'

type Json = Readonly<Record<string, unknown>>

export interface ForcedText {
  readonly text: string
  /** Name of the tool whose arguments the text is. */
  readonly tool: string | null
}

/** The deepest schema that is followed. */
const DEPTH_MAX = 16

/** `body` is a chat request. null: nothing is forced. */
export function forcedText({
  tools,
  tool_choice: choice,
  response_format: format,
  structured_outputs,
}: Json): ForcedText | null {
  const tool = findTool(tools, choice)
  if (tool) {
    const { name, parameters } = tool
    return { text: JSON.stringify(instanceOf(parameters ?? { type: 'object' }, 0)), tool: String(name) }
  }
  const schema =
    isObject(format) && isObject(format['json_schema'])
      ? format['json_schema']['schema']
      : isObject(structured_outputs)
        ? structured_outputs['json']
        : null
  if (isObject(schema)) return { text: JSON.stringify(instanceOf(schema, 0)), tool: null }
  return isObject(format) && format['type'] === 'json_object' ? { text: '{}', tool: null } : null
}

function findTool(tools: unknown, choice: unknown): Json | null {
  if (!Array.isArray(tools)) return null
  const functions = tools.flatMap((tool: unknown) =>
    isObject(tool) && isObject(tool['function']) ? [tool['function']] : [],
  )
  if (choice === 'required') return functions[0] ?? null
  const name = isObject(choice) && isObject(choice['function']) ? choice['function']['name'] : undefined
  return functions.find((tool) => tool['name'] === name) ?? null
}

function instanceOf(schema: unknown, depth: number): unknown {
  if (!isObject(schema) || depth > DEPTH_MAX) return null
  const { type, enum: values, const: constant, anyOf, properties, items, minItems } = schema
  if (constant !== undefined) return constant
  if (Array.isArray(values)) return values[0] ?? null
  if (Array.isArray(anyOf)) return instanceOf(anyOf[0], depth + 1)
  const kind: unknown = Array.isArray(type) ? type[0] : type
  if (kind === 'object' || isObject(properties)) {
    const entries = Object.entries(isObject(properties) ? properties : {})
    return Object.fromEntries(entries.map(([name, value]) => [name, instanceOf(value, depth + 1)]))
  }
  if (kind === 'array') {
    const count = typeof minItems === 'number' ? Math.min(minItems, 4) : 1
    return Array.from({ length: count }, () => instanceOf(items, depth + 1))
  }
  if (kind === 'string') return 'bada'
  if (kind === 'integer' || kind === 'number') return 7
  return kind === 'boolean' ? true : null
}
