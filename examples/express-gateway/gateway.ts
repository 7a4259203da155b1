/** One process that serves: the database, the cache and the HTTP server, opened in this order and closed in the reverse. */
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import { createRegistryCache, type RegistryCache } from 'express-registry-cache'
import { Redis } from 'ioredis'
import { createApp } from './app.ts'
import type { Config } from './config.ts'
import { type Database, openDatabase } from './db.ts'
import { bundledServers, type Federation } from './mcp.ts'
import { metricsOf } from './metrics.ts'
import { createLog, type Logger } from './request-log.ts'

/** What has to be undone, last done first; so a start that is interrupted is undone too. */
export type CleanUp = (() => Promise<unknown>)[]

export interface Registry {
  db: Database
  cache: RegistryCache
  log: Logger
  federation: Federation
}

export async function openRegistry(config: Config, signal: AbortSignal, cleanUp: CleanUp): Promise<Registry> {
  const log = createLog(config.LOG_LEVEL)
  const db = await openDatabase(config.DATABASE_URL, config.DATA_DIR)
  cleanUp.unshift(() => db.close())

  const redis = config.redisUrl ? new Redis(config.redisUrl) : undefined
  // The cache reports an outage once; ioredis would report every attempt to reconnect.
  redis?.on('error', () => {})
  cleanUp.unshift(async () => redis?.disconnect())
  const cache = createRegistryCache({ ...config.cacheOptions, logger: log, ...(redis && { redis }) })
  await cache.start()
  cleanUp.unshift(() => cache.stop())

  const allowedCommands = [...bundledServers.map(({ command }) => command), ...config.ALLOWED_COMMANDS]
  return { db, cache, log, federation: { db, allowedCommands, timeoutMs: 15_000, signal } }
}

export async function serve(config: Config, adminToken: string, registry: Registry, cleanUp: CleanUp): Promise<Server> {
  const { openWrites, RATE_LIMIT: rateLimit, TRUST_PROXY: trustProxy } = config
  const metrics = metricsOf(registry.cache)
  const worker = cluster.worker && { worker: cluster.worker.id }
  const app = createApp({ ...registry, adminToken, openWrites, rateLimit, trustProxy, metrics, ...worker })
  const server = createServer(app)
  const drain = drainable(server)
  await once(server.listen(config.PORT, config.HOST), 'listening')
  cleanUp.unshift(drain)
  return server
}

/**
 * Returns what stops the server without failing a request: nobody new is let in, what was asked is answered, and each answer
 * tells its client to ask no more on this connection. `server.close()` alone would end connections that are idle this very
 * moment, while a request may be on its way on them. After five seconds nobody is waited for.
 */
function drainable(server: Server): () => Promise<unknown> {
  const open = new Set<ServerResponse>()
  let isStopping = false
  const sayGoodbye = (res: ServerResponse) => {
    if (!res.headersSent) res.setHeader('Connection', 'close')
  }
  server.prependListener('request', (_req, res: ServerResponse) => {
    open.add(res)
    res.once('close', () => open.delete(res))
    if (isStopping) sayGoodbye(res)
  })
  return async () => {
    isStopping = true
    for (const res of open) sayGoodbye(res)
    const closed = once(server, 'close')
    NetServer.prototype.close.call(server)
    const idle = setInterval(() => server.closeIdleConnections(), 500)
    const all = setTimeout(() => server.closeAllConnections(), 5_000)
    await closed
    clearInterval(idle)
    clearTimeout(all)
  }
}
