/** The OpenAPI document of the operators' API, from its table and the zod schemas of protocol/. */
import { z } from 'zod'
import type { Endpoint } from './endpoint.ts'

type Described = Omit<Endpoint, 'handle'>

const ERROR = {
  description: 'A fault in the form of OpenAI',
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
}

const ERROR_SCHEMA = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'param', 'code'],
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        param: { type: ['string', 'null'] },
        code: { type: 'string' },
      },
    },
  },
}

export function openApiDocument(endpoints: readonly Described[]): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const endpoint of endpoints) {
    const path = endpoint.path.replaceAll(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [endpoint.method]: operationOf(endpoint) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Isotherm: operators', version: '1' },
    security: [{ operator: [] }],
    components: {
      securitySchemes: { operator: { type: 'http', scheme: 'bearer' } },
      schemas: { Error: ERROR_SCHEMA },
    },
    paths,
  }
}

function operationOf({ path, summary, query, body, answer, status, needsRevision }: Described): object {
  const parameters = [
    ...[...path.matchAll(/:(\w+)/g)].map(([, name]) => parameter(name ?? '', 'path', true)),
    ...query.map((name) => parameter(name, 'query', false)),
    ...(needsRevision ? [parameter('if-match', 'header', true)] : []),
  ]
  return {
    summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body === null ? {} : { requestBody: { required: true, content: json(body, 'input') } }),
    responses: {
      [status]: { description: summary, content: json(answer, 'output') },
      default: ERROR,
    },
  }
}

function parameter(name: string, place: string, isRequired: boolean): object {
  return { name, in: place, required: isRequired, schema: { type: 'string' } }
}

function json(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...described } = z.toJSONSchema(schema, { io })
  return { 'application/json': { schema: described } }
}
