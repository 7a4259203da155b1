/* The example's application inside the test's process: on PGlite or a PostgreSQL, with a memory cache or several on one Redis. */
import { type AppParts, createApp } from '../../examples/express-gateway/app.ts'
import { type Database, openDatabase } from '../../examples/express-gateway/db.ts'
import { bundledServers } from '../../examples/express-gateway/mcp.ts'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { type Answer, type Listening, listen, type RequestOptions, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { type PostgresServer, startPostgres } from './postgres.ts'

export const adminToken = 'token-of-the-tests'
export const asAdmin = { authorization: `Bearer ${adminToken}` }

export type Engine = 'PGlite' | 'PostgreSQL'

export interface Gateway {
  readonly db: Database
  /** One for each instance. */
  readonly caches: RegistryCache[]
  readonly redis: RedisServer | undefined
  /** Of the first instance, or the one asked for. */
  request(options: RequestOptions, instance?: number): Promise<Answer>
  /** Makes an API key of the team; returns the headers that carry it, and its id. */
  key(team: string): Promise<{ id: string; key: string; headers: { authorization: string } }>
  /** No entities, no keys, nothing cached. */
  empty(): Promise<void>
  stop(): Promise<void>
}

/** `instances` above 1 share a Redis. */
export async function startGateway(
  engine: Engine,
  { instances = 1, parts = {} }: { instances?: number; parts?: Partial<AppParts> } = {},
): Promise<Gateway> {
  let postgres: PostgresServer | undefined
  let redis: RedisServer | undefined
  let db: Database | undefined
  const caches: RegistryCache[] = []
  const servers: Listening[] = []
  const stop = async () => {
    await Promise.all(servers.map((server) => server.close()))
    await Promise.all(caches.map((cache) => cache.stop()))
    await db?.close()
    await redis?.stop()
    await postgres?.stop()
  }
  try {
    if (engine === 'PostgreSQL') postgres = await startPostgres()
    if (instances > 1) redis = await startRedis()
    const database = await openDatabase(postgres?.url)
    db = database
    for (let i = 0; i < instances; i++) {
      const cache = createRegistryCache(redis ? { redis: redis.client() } : {})
      await cache.start()
      caches.push(cache)
      const federation = {
        db: database,
        allowedCommands: bundledServers.map(({ command }) => command),
        timeoutMs: 20_000,
        signal: new AbortController().signal,
      }
      servers.push(await listen(createApp({ db: database, cache, federation, adminToken, ...parts })))
    }
    const ask = (options: RequestOptions, instance = 0) => {
      const server = servers[instance]
      if (!server) throw new Error(`there is no instance ${instance}`)
      return request(server, options)
    }
    return {
      db: database,
      caches,
      redis,
      request: ask,
      async key(team) {
        const answer = await ask({ method: 'POST', path: '/v1/keys', headers: asAdmin, body: { team } })
        const { id, key } = answer.json<{ id: string; key: string }>()
        return { id, key, headers: { authorization: `Bearer ${key}` } }
      },
      async empty() {
        await database.query('delete from entities')
        await database.query('delete from api_keys')
        for (const cache of caches) await cache.invalidateAll()
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
