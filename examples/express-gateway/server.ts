/** The program: reads the environment, starts everything in order, and stops it in the reverse order at SIGINT or SIGTERM. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRegistryCache } from 'express-registry-cache'
import { Redis } from 'ioredis'
import { createApp } from './app.ts'
import { type Config, readConfig } from './config.ts'
import { type Database, openDatabase } from './db.ts'
import { countEntities, insertEntities, parseEntity } from './entities.ts'
import { oneLine, toHttpError } from './errors.ts'
import { bundledServers, type Federation, federate } from './mcp.ts'

/** Starts the gateway; `cleanUp` collects what has to be undone, so that a start that is interrupted is undone too. */
async function start(config: Config, signal: AbortSignal, cleanUp: (() => Promise<unknown>)[]): Promise<void> {
  const catalog = config.CATALOG_FILE ? await readCatalog(config.CATALOG_FILE) : []
  const db = await openDatabase(config.DATABASE_URL, config.DATA_DIR)
  cleanUp.unshift(() => db.close())

  const redis = config.redisUrl ? new Redis(config.redisUrl) : undefined
  // The cache reports an outage once; ioredis would report every attempt to reconnect.
  redis?.on('error', () => {})
  cleanUp.unshift(async () => redis?.disconnect())
  const cache = createRegistryCache({ ...config.cacheOptions, ...(redis && { redis }) })
  await cache.start()
  cleanUp.unshift(() => cache.stop())

  const allowedCommands = [...bundledServers.map(({ command }) => command), ...config.ALLOWED_COMMANDS]
  const federation = { db, allowedCommands, timeoutMs: 15_000, signal }
  await registerServers(federation, config.MCP_SERVERS)
  await insertEntities(db.query, 'catalog', catalog, 'replace')
  if (signal.aborted) return
  // Other instances may have cached the lists as they were before. The catalog depends on gateways, like all the rest.
  await cache.invalidate('gateways')

  const adminToken = config.ADMIN_TOKEN ?? randomBytes(18).toString('base64url')
  const server = createServer(createApp({ db, cache, federation, adminToken }))
  await once(server.listen(config.PORT, config.HOST), 'listening')
  cleanUp.unshift(() => {
    // What was asked before is answered, for at most five seconds.
    setTimeout(() => server.closeAllConnections(), 5_000).unref()
    return once(server.close(), 'close')
  })
  await announce(config, server, db, adminToken)
}

/** In parallel. One that fails costs one line, not the start. */
async function registerServers(federation: Federation, names: string[]): Promise<void> {
  const known = await federation.db.query<{ key: string }>(`select key from entities where type = 'gateways'`)
  const isKnown = new Set(known.map(({ key }) => key))
  await Promise.all(
    bundledServers
      .filter(({ name }) => names.includes(name))
      .map(async (request) => {
        if (isKnown.has(request.name)) return console.log(`${request.name} is registered already`)
        try {
          const { registered } = await federate(federation, request)
          console.log(`Registered ${request.name}: ${summary(Object.entries(registered))}`)
        } catch (error) {
          if (federation.signal.aborted) return
          // Another instance that starts now was faster.
          if (toHttpError(error)?.code === 'already_exists') return console.log(`${request.name} is registered already`)
          console.error(`Could not register ${request.name}: ${oneLine(error)}`)
        }
      }),
  )
}

/** Published dumps have entries without a name; they, and whatever else is no catalog entry, are left out. */
async function readCatalog(path: string) {
  const dump = await readFile(path, 'utf8')
    .then(JSON.parse)
    .catch((error) => {
      throw new Error(`CATALOG_FILE ${path}: ${oneLine(error)}`)
    })
  if (!Array.isArray(dump)) throw new Error(`CATALOG_FILE ${path}: no JSON array`)
  const entities = dump.flatMap((entry) => {
    try {
      const { id, name, description, repository, version_detail, packages, remotes } = entry
      const entity = parseEntity('catalog', { name, description, repository, version_detail, packages, remotes })
      return [{ ...entity, ...(typeof id === 'string' && id !== '' && { id }) }]
    } catch {
      return []
    }
  })
  console.log(`Read ${entities.length} of the ${dump.length} catalog entries in ${path}`)
  return entities
}

async function announce(config: Config, server: Server, db: Database, adminToken: string): Promise<void> {
  const { address, family, port } = server.address() as AddressInfo
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
  console.log(`
Ready on ${url} after ${process.uptime().toFixed(1)} s
  database  ${db.description}
  cache     ${config.redisUrl ? 'memory and Redis' : 'memory'}
  holds     ${summary(await countEntities(db)) || 'nothing yet'}
${config.ADMIN_TOKEN ? '' : `  admin     ADMIN_TOKEN=${adminToken}\n`}
Ask twice, and watch X-Cache go from MISS to HIT:
  curl -i '${url}/v1/tools?limit=2'
`)
}

function summary(counts: [type: string, count: number][]): string {
  return counts.map(([type, count]) => `${type} ${count}`).join(', ')
}

const stop = new AbortController()
// `once`: a second Ctrl-C ends the process the hard way.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort(new Error('the gateway is stopping')))
if (process.env.npm_lifecycle_event) {
  // `npm start` puts a shell between npm and us that ends at SIGTERM without passing it on: we are then left to another parent.
  const parent = process.ppid
  setInterval(() => process.ppid === parent || stop.abort(), 250).unref()
}

const cleanUp: (() => Promise<unknown>)[] = []
try {
  await start(readConfig(process.env), stop.signal, cleanUp)
  if (!stop.signal.aborted) await once(stop.signal, 'abort')
  console.log('Stopping')
} catch (error) {
  console.error(`The gateway can not run: ${oneLine(error)}`)
  process.exitCode = 1
}
for (const undo of cleanUp) {
  await undo().catch((error) => console.error(`While stopping: ${oneLine(error)}`))
}
