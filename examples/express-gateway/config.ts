/** The environment, read and checked once. Whatever is wrong with it ends the start with one line. */
import { isAbsolute } from 'node:path'
import { registryCacheOptionsFromEnv } from 'express-registry-cache'
import { z } from 'zod'
import { splitList } from './entities.ts'
import { bundledServers } from './mcp.ts'

const names = bundledServers.map(({ name }) => name)

const environment = z.object({
  PORT: z.coerce.number().int().min(0).max(65_535).default(3000),
  HOST: z.string().default('127.0.0.1'),
  /** Processes that serve requests; above 1 this one only looks after them. */
  WORKERS: z.coerce.number().int().min(1).max(64).default(1),
  DATABASE_URL: z.url({ protocol: /^(postgres(ql)?|pglite)$/, error: 'expected postgres://…' }).optional(),
  DATA_DIR: z.string().optional(),
  ADMIN_TOKEN: z.string().min(8, 'expected at least 8 characters').optional(),
  /** Whether what belongs to no team may be written without a key. Default: only where nobody else can connect. */
  OPEN_WRITES: z.enum(['true', 'false']).optional(),
  /** Requests per minute and client that the cache can not answer. */
  RATE_LIMIT: z.coerce.number().int().min(1).default(60_000),
  /** How many proxies are in front. */
  TRUST_PROXY: z.coerce.number().int().min(0).max(10).default(0),
  /** Set by the primary for its workers: of the redis-server that it started. */
  REDIS_PID: z.coerce.number().optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  CATALOG_FILE: z.string().optional(),
  /** The bundled servers to register at start. */
  MCP_SERVERS: z
    .string()
    .default(names.join())
    .transform(splitList)
    .pipe(z.array(z.enum(names))),
  /** Absolute paths: programs that an admin may register beside the bundled servers, with any arguments. */
  ALLOWED_COMMANDS: z
    .string()
    .default('')
    .transform(splitList)
    .refine((paths) => paths.every(isAbsolute), 'expected absolute paths'),
})

export type Config = ReturnType<typeof readConfig>

/** Throws an error whose message fits one line. */
export function readConfig(env: NodeJS.ProcessEnv) {
  // `PORT= npm start` means the default, but an empty MCP_SERVERS means none.
  const given = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => value !== '' || name === 'MCP_SERVERS'),
  )
  const settings = environment.parse(given)
  const { redisUrl, options } = registryCacheOptionsFromEnv(given)
  if (settings.DATABASE_URL && settings.DATA_DIR) {
    throw new Error('DATABASE_URL and DATA_DIR are both set: choose one database')
  }
  if (redisUrl && !settings.DATABASE_URL && settings.WORKERS === 1) {
    // With a shared cache in front of private databases, each instance would serve the others' data as its own.
    throw new Error('REDIS_URL is set without DATABASE_URL: instances that share a Redis must share a PostgreSQL too')
  }
  const openWrites = settings.OPEN_WRITES ? settings.OPEN_WRITES === 'true' : isLoopback(settings.HOST)
  return { ...settings, redisUrl, cacheOptions: options, openWrites }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
