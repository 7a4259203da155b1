/** The OpenAPI 3.1 document of the routes: what is checked by zod is described by the same schemas. */
import { z } from 'zod'
import { type EntityType, entityTypes, listQuery, schemas } from './entities.ts'
import { keyRequest } from './keys.ts'
import { federateRequest } from './mcp.ts'

type Json = Record<string, unknown>

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Json => {
  const { $schema, ...json } = z.toJSONSchema(schema, { io })
  return json
}
const changesOf = (type: EntityType): Json => {
  const { properties, ...rest } = schemaOf(schemas[type], 'input') as { properties: Record<string, Json> }
  const withoutDefaults = Object.entries(properties).map(([name, { default: _, ...schema }]) => [name, schema])
  return { ...rest, properties: Object.fromEntries(withoutDefaults), required: [] }
}
/** What registers a gateway: the gateway itself, and the program to run. */
const federation = (): Json => {
  const [program, gateway] = [federateRequest, schemas.gateways].map((schema) => schemaOf(schema, 'input')) as {
    properties: Json
    required: string[]
  }[]
  return {
    ...gateway,
    properties: { ...program?.properties, ...gateway?.properties },
    required: ['name', 'command'],
  }
}
const json = (schema: Json) => ({ content: { 'application/json': { schema } } })
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const named = (type: EntityType) => type[0]?.toUpperCase() + type.slice(1)

const errors = (...statuses: number[]) =>
  Object.fromEntries(statuses.map((status) => [status, { $ref: `#/components/responses/${status}` }]))
const answers = (status: number, description: string, schema?: Json) => ({
  [status]: { description, ...(schema && json(schema)) },
})

const cacheHeaders = {
  'Cache-Status': { description: 'What the cache did, by RFC 9211.', schema: { type: 'string' } },
  'X-Cache': { description: 'The same in a word.', schema: { enum: ['HIT', 'MISS', 'STALE', 'BYPASS'] } },
}
const cached = (description: string, schema: Json) => ({ 200: { description, headers: cacheHeaders, ...json(schema) } })

const listParameters = Object.entries(schemaOf(listQuery, 'input').properties as Json).map(([name, schema]) => ({
  name,
  in: 'query',
  schema,
}))
const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }
const admin = [{ adminToken: [] }]
/** Nothing, or a key, or the admin token. */
const anybody = [{}, { apiKey: [] }, { adminToken: [] }]

function entityPaths(type: EntityType): Json {
  const input = ref(`${named(type)}Input`)
  const entity = ref(named(type))
  const about = { tags: [type], security: type === 'gateways' ? admin : anybody }
  const reading = { tags: [type], security: anybody }
  const created = type === 'gateways' ? ref('Federation') : input
  return {
    [`/v1/${type}`]: {
      get: {
        ...reading,
        operationId: `list_${type}`,
        parameters: listParameters,
        responses: { ...cached('A page, newest first.', ref(`${named(type)}Page`)), ...errors(400, 401, 429) },
      },
      post: {
        ...about,
        operationId: `create_${type}`,
        requestBody: { required: true, ...json(created) },
        responses: {
          ...answers(201, 'It was made.', entity),
          ...errors(400, 401, ...(type === 'gateways' ? [403] : []), 409, 413, 415, 429),
          ...(type === 'gateways' && errors(502)),
        },
      },
    },
    [`/v1/${type}/{id}`]: {
      parameters: [id],
      get: {
        ...reading,
        operationId: `get_${type}`,
        responses: { ...cached('The entity.', entity), ...errors(401, 404, 429) },
      },
      put: {
        ...about,
        operationId: `replace_${type}`,
        description: 'A field that is left out gets its default.',
        requestBody: { required: true, ...json(input) },
        responses: { ...answers(200, 'As it is now.', entity), ...errors(400, 401, 403, 404, 409, 413, 415, 429) },
      },
      patch: {
        ...about,
        operationId: `patch_${type}`,
        description: 'A field that is left out stays.',
        requestBody: { required: true, ...json(changesOf(type)) },
        responses: { ...answers(200, 'As it is now.', entity), ...errors(400, 401, 403, 404, 409, 413, 415, 429) },
      },
      delete: {
        ...about,
        operationId: `delete_${type}`,
        responses: { ...answers(204, 'It is gone.'), ...errors(401, 403, 404, 429) },
      },
    },
  }
}

function entitySchemas(type: EntityType): Json {
  const { properties, required, ...rest } = schemaOf(schemas[type], 'output') as {
    properties: Json
    required: string[]
  }
  const ours = {
    id: { type: 'string' },
    team: { type: ['string', 'null'], description: 'The team that it belongs to.' },
    created_at: { type: 'string', format: 'date-time' },
    updated_at: { type: 'string', format: 'date-time' },
  }
  return {
    [`${named(type)}Input`]: schemaOf(schemas[type], 'input'),
    // A gateway has its command beside these, and the counts of what was registered when it is made.
    [named(type)]: {
      ...rest,
      ...(type === 'gateways' && { additionalProperties: true }),
      properties: { ...properties, ...ours },
      required: [...required, ...Object.keys(ours)],
    },
    [`${named(type)}Page`]: {
      type: 'object',
      properties: {
        items: { type: 'array', items: ref(named(type)) },
        next_cursor: { type: ['string', 'null'] },
      },
      required: ['items', 'next_cursor'],
    },
  }
}

const key = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    team: { type: 'string' },
    name: { type: 'string' },
    created_at: { type: 'string', format: 'date-time' },
  },
  required: ['id', 'team', 'name', 'created_at'],
}
const status = (...values: string[]) => ({
  type: 'object',
  properties: { status: { enum: values }, database: { enum: ['up', 'down'] }, redis: { enum: ['up', 'down', 'none'] } },
  required: ['status'],
})
const description: Record<number, string> = {
  400: 'The request is not what the schema asks for; `details` names each field.',
  401: 'No such credentials, or they are needed here.',
  403: 'It is visible, and not the caller’s to change; or the command is not allowed.',
  404: 'It does not exist, or the caller does not see it.',
  409: 'One of this name exists.',
  413: 'The body is too large.',
  415: 'The body is no JSON.',
  429: 'Too many requests that the cache can not answer.',
  502: 'The MCP server did not start, or did not answer.',
}

export const openApiDocument = {
  openapi: '3.1.0',
  info: {
    title: 'A registry gateway for MCP',
    version: '1.0.0',
    description: 'Public entities are everybody’s to read; those of a team take its API key.',
  },
  paths: {
    ...Object.assign({}, ...entityTypes.map(entityPaths)),
    '/v1/keys': {
      get: {
        tags: ['keys'],
        operationId: 'list_keys',
        security: admin,
        responses: {
          ...answers(200, 'All of them, without the keys themselves.', {
            type: 'object',
            properties: { items: { type: 'array', items: key } },
          }),
          ...errors(401, 429),
        },
      },
      post: {
        tags: ['keys'],
        operationId: 'create_key',
        security: admin,
        requestBody: { required: true, ...json(schemaOf(keyRequest, 'input')) },
        responses: {
          ...answers(201, 'The key, which is shown this once.', {
            ...key,
            properties: { ...key.properties, key: { type: 'string' } },
          }),
          ...errors(400, 401, 413, 429),
        },
      },
    },
    '/v1/keys/{id}': {
      parameters: [id],
      delete: {
        tags: ['keys'],
        operationId: 'revoke_key',
        security: admin,
        responses: { ...answers(204, 'It is revoked.'), ...errors(401, 404, 429) },
      },
    },
    '/healthz': {
      get: { tags: ['operations'], operationId: 'healthz', responses: answers(200, 'Alive.', status('ok')) },
    },
    '/readyz': {
      get: {
        tags: ['operations'],
        operationId: 'readyz',
        responses: {
          ...answers(200, 'Worth sending requests to; without Redis too.', status('ready', 'degraded')),
          ...answers(503, 'The database does not answer, or it is stopping.', status('unavailable', 'stopping')),
        },
      },
    },
    '/metrics': {
      get: {
        tags: ['operations'],
        operationId: 'metrics',
        responses: {
          200: { description: 'Prometheus’ text.', content: { 'text/plain': { schema: { type: 'string' } } } },
        },
      },
    },
    '/openapi.json': {
      get: {
        tags: ['operations'],
        operationId: 'openapi',
        responses: answers(200, 'This document.', { type: 'object' }),
      },
    },
  },
  components: {
    securitySchemes: {
      apiKey: { type: 'http', scheme: 'bearer', description: 'An API key: made by the admin, for one team.' },
      adminToken: { type: 'http', scheme: 'bearer', description: 'ADMIN_TOKEN.' },
    },
    schemas: {
      ...Object.assign({}, ...entityTypes.map(entitySchemas)),
      Federation: federation(),
      Error: {
        type: 'object',
        properties: {
          error: {
            type: 'object',
            properties: { code: { type: 'string' }, message: { type: 'string' }, details: {} },
            required: ['code', 'message'],
          },
        },
        required: ['error'],
      },
    },
    responses: Object.fromEntries(
      Object.entries(description).map(([code, text]) => [code, { description: text, ...json(ref('Error')) }]),
    ),
  },
}
