/**
 * The program: reads the environment, starts everything in order, and stops it in the reverse order at SIGINT or SIGTERM.
 * With WORKERS above 1 it runs as a primary, which owns what is shared, and as workers: the same program again, with the
 * primary's database, Redis and admin token in its environment.
 */
import cluster from 'node:cluster'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type Config, readConfig } from './config.ts'
import { countEntities } from './entities.ts'
import { oneLine } from './errors.ts'
import { startWorkers } from './fleet.ts'
import { type CleanUp, openRegistry, type Registry, serve } from './gateway.ts'
import { answerMetrics } from './metrics.ts'
import { fillRegistry, readCatalog, summary } from './registration.ts'
import { freePort, servePglite, startRedis } from './shared-services.ts'

type Start = (config: Config, signal: AbortSignal, cleanUp: CleanUp) => Promise<void>

const startAlone: Start = async (config, signal, cleanUp) => {
  const catalog = await readCatalog(config.CATALOG_FILE)
  const registry = await openRegistry(config, signal, cleanUp)
  await fillRegistry(config, registry.federation, catalog)
  if (signal.aborted) return
  // Other instances may have cached the lists as they were before. The catalog depends on gateways, like all the rest.
  await registry.cache.invalidate('gateways')
  const adminToken = config.ADMIN_TOKEN ?? randomToken()
  const server = await serve(config, adminToken, registry, cleanUp)
  await announce(config, registry, adminToken, server.address() as Address)
}

const startPrimary: Start = async (config, signal, cleanUp) => {
  const catalog = await readCatalog(config.CATALOG_FILE)
  const ownRedis = config.redisUrl ? undefined : await startRedis(cleanUp)
  const redisUrl = config.redisUrl ?? ownRedis?.url ?? ''
  const databaseUrl = config.DATABASE_URL ?? (await servePglite(config.DATA_DIR, config.WORKERS, cleanUp))
  const shared = { ...config, redisUrl, DATABASE_URL: databaseUrl, DATA_DIR: undefined }
  const registry = await openRegistry(shared, signal, cleanUp)
  await fillRegistry(shared, registry.federation, catalog)
  if (signal.aborted) return
  // All of it: a PGlite of our own may be another than that of the entries which a former run left in Redis.
  const { shared: isTold } = await registry.cache.invalidateAll()
  // It answers no requests, so it has no more part in the cache; unless Redis is down, and still to be told.
  if (isTold) await registry.cache.stop()

  const adminToken = config.ADMIN_TOKEN ?? randomToken()
  answerMetrics()
  // PORT=0 would be another one for workers that come when none of the first is left.
  const port = config.PORT || (await freePort(config.HOST))
  const env = {
    PORT: String(port),
    DATABASE_URL: databaseUrl,
    DATA_DIR: '',
    REDIS_URL: redisUrl,
    REDIS_PID: String(ownRedis?.pid ?? ''),
    ADMIN_TOKEN: adminToken,
  }
  await startWorkers(config.WORKERS, env, cleanUp)
  if (signal.aborted) return
  await announce(shared, registry, adminToken, { address: config.HOST, port })
}

const startWorker: Start = async (config, signal, cleanUp) => {
  // Killed, the primary could not stop the Redis that it had started. (Node ends a worker whose primary is gone: its channel is.)
  process.once('exit', () => {
    if (process.connected || !config.REDIS_PID) return
    try {
      process.kill(config.REDIS_PID)
    } catch {
      // Another worker was first.
    }
  })
  await serve(config, config.ADMIN_TOKEN ?? '', await openRegistry(config, signal, cleanUp), cleanUp)
}

function randomToken(): string {
  return randomBytes(18).toString('base64url')
}

interface Address {
  address: string
  port: number
}

async function announce(config: Config, { db }: Registry, adminToken: string, { address, port }: Address) {
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}`
  console.log(`
Ready on ${url} after ${process.uptime().toFixed(1)} s
  database  ${db.description}
  cache     ${config.redisUrl ? 'memory and Redis' : 'memory'}${config.WORKERS > 1 ? `, ${config.WORKERS} workers` : ''}
  holds     ${summary(await countEntities(db)) || 'nothing yet'}
  writes    ${config.openWrites ? 'open to anybody' : 'take an API key'}
${config.ADMIN_TOKEN ? '' : `  admin     ADMIN_TOKEN=${adminToken}\n`}
Ask twice, and watch X-Cache go from MISS to HIT:
  curl -i '${url}/v1/tools?limit=2'
What the cache does (any user name, the admin token as the password):
  ${url}/_cache
`)
}

const stop = new AbortController()
// `once`: a second Ctrl-C ends the process the hard way.
process.once('SIGTERM', () => stop.abort(new Error('the gateway is stopping')))
// Ctrl-C reaches the workers too, and is the primary's to answer: it sends them SIGTERM.
if (cluster.isWorker) process.on('SIGINT', () => {})
else process.once('SIGINT', () => stop.abort(new Error('the gateway is stopping')))
if (process.env.npm_lifecycle_event) {
  // `npm start` puts a shell between npm and us that ends at SIGTERM without passing it on: we are then left to another parent.
  const parent = process.ppid
  setInterval(() => process.ppid === parent || stop.abort(), 250).unref()
}

const cleanUp: CleanUp = []
try {
  const config = readConfig(process.env)
  const start = cluster.isWorker ? startWorker : config.WORKERS > 1 ? startPrimary : startAlone
  await start(config, stop.signal, cleanUp)
  if (!stop.signal.aborted) await once(stop.signal, 'abort')
  if (cluster.isPrimary) console.log('Stopping')
} catch (error) {
  // What a start that was interrupted runs into is no failure.
  if (!stop.signal.aborted) {
    console.error(`The gateway can not run: ${oneLine(error)}`)
    process.exitCode = 1
  }
}
// A database that does not answer must not keep us; Docker, for one, kills after ten seconds what has not stopped.
setTimeout(() => process.exit(1), 9_000).unref()
for (const undo of cleanUp) {
  await undo().catch((error) => console.error(`While stopping: ${oneLine(error)}`))
}
// The channel to the primary would keep it alive.
if (cluster.isWorker) process.exit()
