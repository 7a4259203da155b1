/**
 * SQL storage: PGlite (PostgreSQL compiled to WebAssembly, inside this process or served by another one) or a real PostgreSQL,
 * behind one small interface. The SQL is the same for all; everything above this file does not know which one it talks to.
 */

export type Query = <Row>(sql: string, parameters?: unknown[]) => Promise<Row[]>

export interface Database {
  readonly description: string
  readonly query: Query
  /** Commits when `work` resolves, rolls back when it rejects. */
  transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

/**
 * One table for all seven types, an entity being a JSON document; what is indexed is a column computed from it.
 *
 * - `seq` orders the lists. It never changes, so a page boundary stays where it was whatever is renamed or added.
 * - `key` may exist once per gateway and team: a resource's URI, the name of anything else. (Once per gateway would tell a
 *   team, by the 409, what another one has.)
 * - `team` owns the row: that of the API key that made it, or nobody.
 * - `gateway_type` is there for the foreign key: `gateway_id` is the id of a row of type 'gateways', and deleting that row
 *   deletes all that came from it.
 */
const migration = [
  // Two instances that start at once would race in CREATE ... IF NOT EXISTS: the second waits for the first.
  'select pg_advisory_xact_lock(7446191)',
  `create table if not exists entities (
    seq bigint generated always as identity,
    type text not null,
    id text not null,
    data jsonb not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    key text not null generated always as (coalesce(data ->> 'uri', data ->> 'name')) stored,
    gateway_id text generated always as (data ->> 'gateway_id') stored,
    gateway_type text generated always as ('gateways') stored,
    primary key (type, id),
    foreign key (gateway_type, gateway_id) references entities (type, id) on delete cascade
  )`,
  'alter table entities add column if not exists team text',
  'drop index if exists entities_key',
  `create unique index if not exists entities_key_of_team
    on entities (type, coalesce(gateway_id, ''), coalesce(team, ''), key)`,
  'create index if not exists entities_page on entities (type, seq desc)',
  'create index if not exists entities_gateway on entities (gateway_id)',
  `create table if not exists api_keys (
    id text primary key,
    team text not null,
    name text not null,
    hash text not null unique,
    created_at timestamptz not null default now()
  )`,
]

/**
 * `postgres://…`: a PostgreSQL; `pglite://HOST:PORT`: the PGlite that another process serves (shared-services.ts); nothing: a
 * PGlite of our own. Its folder belongs to one process at a time: nothing here keeps a second one out.
 */
export async function openDatabase(databaseUrl?: string, pgliteFolder?: string): Promise<Database> {
  const database = await (databaseUrl ? openPostgres(databaseUrl) : openPglite(pgliteFolder))
  try {
    await database.transaction(async (query) => {
      for (const statement of migration) await query(statement)
    })
    return database
  } catch (error) {
    await database.close()
    throw error
  }
}

async function openPglite(dataDir?: string): Promise<Database> {
  const { PGlite } = await import('@electric-sql/pglite')
  const pglite = await (dataDir ? PGlite.create(dataDir) : PGlite.create())
  return {
    description: dataDir ? `embedded PGlite in ${dataDir}` : 'embedded PGlite in memory',
    query: async (sql, parameters) => (await pglite.query(sql, parameters)).rows as never,
    transaction: (work) =>
      pglite.transaction((tx) => work(async (sql, parameters) => (await tx.query(sql, parameters)).rows as never)),
    close: () => pglite.close(),
  }
}

async function openPostgres(databaseUrl: string): Promise<Database> {
  const { default: pg } = await import('pg')
  const isPglite = databaseUrl.startsWith('pglite:')
  const connectionString = isPglite ? databaseUrl.replace('pglite://', 'postgres://postgres@') : databaseUrl
  const pool = new pg.Pool({ connectionString, connectionTimeoutMillis: 5_000 })
  // A connection that breaks while idle is replaced at the next query; without a listener it would end the process.
  pool.on('error', (error) => pool.ending || console.error(`PostgreSQL: ${error.message}`))
  const transaction: Database['transaction'] = async (work) => {
    const client = await pool.connect()
    let broken: Error | undefined
    try {
      await client.query('begin')
      const result = await work(async (sql, parameters) => (await client.query(sql, parameters)).rows as never)
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback').catch((rollbackError: Error) => {
        broken = rollbackError
      })
      throw error
    } finally {
      client.release(broken)
    }
  }
  return {
    description: isPglite ? 'embedded PGlite of the primary' : 'PostgreSQL',
    // A served PGlite has one session for all connections. Outside of a transaction it takes their messages in turn, so that a
    // query which comes in several (parse, bind, execute) could run what another connection has just parsed.
    query: isPglite
      ? (sql, parameters) => transaction((query) => query(sql, parameters))
      : async (sql, parameters) => (await pool.query(sql, parameters)).rows as never,
    transaction,
    close: () => pool.end(),
  }
}
