/**
 * The seven entity types: what a client may write (checked by zod), who may see and write it, and the SQL that stores, lists
 * and removes them. Knows neither routes nor the cache.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { Database, Query } from './db.ts'
import { HttpError } from './errors.ts'

const text = (maxLength: number) => z.string().trim().min(1).max(maxLength)
const optionalText = (maxLength: number) => z.string().max(maxLength).nullable().default(null)
const object = z.record(z.string(), z.unknown())
const optionalObject = object.nullable().default(null)
const objects = z.array(object).max(1_000).default([])

const visibility = z.enum(['public', 'team', 'private'])
const everyType = {
  name: text(200),
  description: z.string().max(20_000).default(''),
  tags: z.array(text(64)).max(32).default([]),
  visibility: visibility.default('public'),
  active: z.boolean().default(true),
}
const fromGateway = { ...everyType, gateway_id: optionalText(100) }

/**
 * What POST and PUT accept. All but the name (and a resource's URI) has a default, so a PUT without a field resets it.
 * The objects are strict: a misspelt field is an error, not a silent loss.
 */
export const schemas = {
  tools: z.strictObject({
    ...fromGateway,
    input_schema: object.default({ type: 'object' }),
    annotations: optionalObject,
  }),
  prompts: z.strictObject({ ...fromGateway, arguments: objects }),
  // The URI is part of a unique index, whose rows have at most 2,704 bytes.
  resources: z.strictObject({ ...fromGateway, uri: text(512), mime_type: optionalText(200) }),
  // Agents come from no gateway, so deleting one leaves the list of agents alone, and its cached entries too.
  agents: z.strictObject({ ...everyType, endpoint_url: optionalText(2_000), capabilities: optionalObject }),
  servers: z.strictObject({
    ...fromGateway,
    version: optionalText(100),
    instructions: optionalText(20_000),
    capabilities: optionalObject,
  }),
  // A gateway's command is stored when it is federated (mcp.ts); no client can write it afterwards.
  gateways: z.strictObject(everyType),
  catalog: z.strictObject({
    ...fromGateway,
    repository: optionalObject,
    version_detail: optionalObject,
    packages: objects,
    remotes: objects,
  }),
}

export type EntityType = keyof typeof schemas
export const entityTypes = Object.keys(schemas) as EntityType[]

/** What the schema of its type lets through; all of it is stored as one JSON document. */
export type Entity = z.infer<z.ZodObject<typeof everyType>> & Record<string, unknown>

/** Who asks. */
export interface Caller {
  /** The team whose API key it has. */
  readonly team: string | null
  readonly isAdmin: boolean
  /** Whether it may write what belongs to no team. */
  readonly mayWriteShared: boolean
}

/** What is public is everybody's to see; the rest (`team`, `private`) its team's, and the admin's. $3 and $4 are `sees(caller)`. */
const visible = `($3::boolean or data ->> 'visibility' = 'public' or team = $4::text)`
const sees = ({ isAdmin, team }: Caller) => [isAdmin, team]

interface Row {
  seq: string
  id: string
  data: Entity
  team: string | null
  created_at: Date
  updated_at: Date
}
const columns = 'seq::text, id, data, team, created_at, updated_at'

/** Throws a ZodError for anything that the type's schema does not accept. */
export function parseEntity(type: EntityType, body: unknown): Entity {
  return schemas[type].parse(body)
}

/** The query of a list. `tags=a,b` and `tags=a&tags=b` list what has any of them. */
export const listQuery = z.strictObject({
  tags: z
    .union([z.string(), z.array(z.string())])
    .transform((tags) => splitList(String(tags)))
    .optional(),
  gateway_id: text(100).optional(),
  include_inactive: z.enum(['true', 'false']).default('false'),
  visibility: visibility.optional(),
  search: text(200).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z
    .string()
    .transform((text) => Buffer.from(text, 'base64url').toString())
    .pipe(z.string().regex(/^\d{1,18}$/, 'no cursor of this list'))
    .optional(),
})

/**
 * One page, newest first. Keyset pagination: the cursor is the `seq` of the page's last row, so what is added or removed
 * between two pages neither repeats nor skips a row.
 */
export async function listEntities(db: Database, type: EntityType, caller: Caller, query: unknown) {
  const { tags, gateway_id, include_inactive, visibility, search, limit, cursor } = listQuery.parse(query)
  const rows = await db.query<Row>(
    `select ${columns} from entities
     where type = $1
       and ($2::text[] is null or data -> 'tags' ?| $2)
       and ${visible}
       and ($5::text is null or gateway_id = $5)
       and ($6 = 'true' or data -> 'active' = 'true')
       and ($7::text is null or data ->> 'visibility' = $7)
       and ($8::text is null or position(lower($8) in lower(data ->> 'name' || ' ' || (data ->> 'description'))) > 0)
       and ($9::bigint is null or entities.seq < $9)
     order by entities.seq desc
     limit $10`,
    [
      type,
      tags?.length ? tags : null,
      ...sees(caller),
      gateway_id,
      include_inactive,
      visibility,
      search,
      cursor,
      // One row more than asked for tells whether there is a next page.
      limit + 1,
    ],
  )
  const page = rows.slice(0, limit)
  return {
    items: page.map(present),
    next_cursor: rows.length > limit ? Buffer.from(page.at(-1)?.seq ?? '').toString('base64url') : null,
  }
}

export async function getEntity(db: Pick<Database, 'query'>, type: EntityType, caller: Caller, id: string) {
  const [row] = await db.query<Row>(`select ${columns} from entities where type = $1 and id = $2 and ${visible}`, [
    type,
    id,
    ...sees(caller),
  ])
  return row && present(row)
}

/** One that a client sent; it belongs to the caller's team. */
export function createEntity(db: Database, type: EntityType, caller: Caller, body: unknown) {
  return db.transaction(async (query) => {
    const entity = parseEntity(type, body)
    if (caller.team === null && !caller.mayWriteShared) throw keyRequired
    await checkReach(query, caller, caller.team, entity)
    const [created] = await insertEntities(query, type, [entity], { team: caller.team })
    return created
  })
}

const keyRequired = new HttpError(401, 'key_required', 'writing takes an API key: send "Authorization: Bearer KEY"')

/** Throws for what nobody but the admin would ever see: hidden, and no team's. */
export function checkVisibility({ visibility }: Entity, team: string | null): void {
  if (visibility === 'public' || team !== null) return
  throw new HttpError(400, 'team_required', `visibility '${visibility}' is for what belongs to a team: use its API key`)
}

async function checkReach(query: Query, caller: Caller, team: string | null, entity: Entity): Promise<void> {
  checkVisibility(entity, team)
  const { gateway_id } = entity
  if (typeof gateway_id === 'string' && !(await getEntity({ query }, 'gateways', caller, gateway_id))) {
    throw new HttpError(400, 'unknown_gateway', 'there is no gateway with this gateway_id')
  }
}

/**
 * Inserts them all in one statement; an `id` is made where there is none. An entity that exists is refused (SQLSTATE
 * 23505), or with 'replace' updated, except for its id and what is the operator's: tags, visibility, active.
 */
export async function insertEntities(
  query: Query,
  type: EntityType,
  entities: (Entity & { id?: string })[],
  { team = null, onConflict = 'refuse' }: { team?: string | null; onConflict?: 'refuse' | 'replace' } = {},
) {
  const rows = entities.map(({ id = randomUUID(), ...data }) => ({ id, data }))
  // Last one wins: one statement can not touch a row twice, and a server may list a name twice.
  const unique = new Map(rows.map((row) => [row.data.uri ?? row.data.name, row]))
  const replace = `on conflict (type, coalesce(gateway_id, ''), coalesce(team, ''), key) do update
    set data = entities.data || (excluded.data - '{tags,visibility,active}'::text[]), updated_at = now()`
  const stored = await query<Row>(
    `insert into entities (type, id, data, team)
     select $1, id, data, $3::text from jsonb_to_recordset($2::jsonb) as given (id text, data jsonb)
     ${onConflict === 'replace' ? replace : ''}
     returning ${columns}`,
    [type, JSON.stringify([...unique.values()]), team],
  )
  return stored.map(present)
}

/** `change` gets the fields that are stored and returns those to store, under a row lock: no concurrent PATCH is lost. */
export function updateEntity(
  db: Database,
  type: EntityType,
  caller: Caller,
  id: string,
  change: (current: object) => Entity,
) {
  return db.transaction(async (query) => {
    const row = await lockOwn(query, type, caller, id)
    if (!row) return undefined
    const writable = Object.keys(schemas[type].shape).map((field) => [field, row.data[field]])
    const changed = change(Object.fromEntries(writable))
    await checkReach(query, caller, row.team, changed)
    const [updated] = await query<Row>(
      `update entities set data = data || $3::jsonb, updated_at = now()
       where type = $1 and id = $2 returning ${columns}`,
      [type, id, JSON.stringify(changed)],
    )
    return updated && present(updated)
  })
}

/** Deleting a gateway deletes all that came from it, by the foreign key. */
export function deleteEntity(db: Database, type: EntityType, caller: Caller, id: string): Promise<boolean> {
  return db.transaction(async (query) => {
    if (!(await lockOwn(query, type, caller, id))) return false
    await query('delete from entities where type = $1 and id = $2', [type, id])
    return true
  })
}

/** What the caller does not see is not there (undefined); what it sees and may not write is refused. */
async function lockOwn(query: Query, type: EntityType, caller: Caller, id: string): Promise<Row | undefined> {
  const [row] = await query<Row>(
    `select ${columns} from entities where type = $1 and id = $2 and ${visible} for update`,
    [type, id, ...sees(caller)],
  )
  if (!row) return undefined
  const mayWrite = row.team === null ? caller.mayWriteShared : row.team === caller.team || caller.isAdmin
  if (mayWrite) return row
  if (caller.team === null) throw keyRequired
  throw new HttpError(403, 'not_yours', 'only the team that it belongs to may change it')
}

export async function countEntities(db: Database): Promise<[type: string, count: number][]> {
  const rows = await db.query<{ type: string; count: number }>(
    'select type, count(*)::int as count from entities group by type order by type',
  )
  return rows.map(({ type, count }) => [type, count])
}

/** `a, b,,c` → `['a', 'b', 'c']` */
export function splitList(list: string): string[] {
  const parts = list.split(',').map((part) => part.trim())
  return parts.filter((part) => part !== '')
}

function present({ id, data, team, created_at, updated_at }: Row) {
  // jsonb does not keep the order of keys; what identifies an entity is easier to read in front.
  const { name, description, ...rest } = data
  return { id, name, description, ...rest, team, created_at, updated_at }
}
