/*
 * One worker of a fleet: an Express application with a cache of its own on the shared Redis. The "database" is a folder that all
 * workers share, one file with a version number per item; a handler reads it when it begins, and may be held before it answers.
 *
 *   GET  /items/:k    cached, tagged `item:k`            GET  /strong/:k   the same in strong mode
 *   GET  /calm/:k     cached, of a type nobody writes
 *   POST /items/:k    commits, then `invalidateOn` for the tag
 *   POST /types/:k    commits, then `invalidateOn` for the type
 *   POST /told/:k     commits, invalidates, and says in its body whether Redis was told
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { express5, type Listening, listen } from '../helpers/http.ts'
import { serve } from '../helpers/worker.ts'

export interface WorkerConfig {
  /** Of Redis, or of the proxy in front of it. */
  redisPort: number
  /** A cache without Redis. */
  memoryOnly?: boolean
  client?: Omit<RedisOptions, 'replyMapping'>
  /** The database's folder. */
  folder: string
  cache?: {
    prefix?: string
    maxStaleness?: number
    redisTimeout?: number
    lockTtl?: number
    defaultTtl?: number
    whenRedisIsDown?: 'serve-memory' | 'bypass'
    breaker?: { failures?: number; probeEvery?: number }
  }
  /** Whether to attach the subscriber; default true. */
  subscribe?: boolean
  /** How long a handler takes after it has read the database. */
  handlerMs?: number
}

let cache: RegistryCache | undefined
let client: Redis | undefined
let http: Listening | undefined
let handlerMs = 0
let runs: Record<string, number> = {}
/** Handlers that wait to be released, by path. */
const held = new Map<string, (() => void)[]>()

function theCache(): RegistryCache {
  if (cache === undefined) throw new Error('open() was not called')
  return cache
}

function readVersion(folder: string, key: string): number {
  try {
    return Number(readFileSync(join(folder, key), 'utf8'))
  } catch {
    return 0
  }
}

function commit(folder: string, key: string, version: number): void {
  const draft = join(folder, `.${key}.${process.pid}`)
  writeFileSync(draft, String(version))
  renameSync(draft, join(folder, key))
}

function makeApp(config: WorkerConfig, made: RegistryCache): ReturnType<typeof express5> {
  const { folder } = config
  const app = express5()
  const tags = (req: import('express').Request): string[] => [`item:${req.params.k}`]
  const answer: import('express').RequestHandler = async (req, res) => {
    const k = String(req.params.k)
    const version = readVersion(folder, k)
    runs[req.path] = (runs[req.path] ?? 0) + 1
    const waiting = held.get(req.path)
    if (waiting) await new Promise<void>((release) => waiting.push(release))
    if (handlerMs > 0) await pause(handlerMs)
    res.json({ k, version })
  }
  app.get('/items/:k', made.middleware({ type: 'items', scope: 'public', tags }), answer)
  app.get('/strong/:k', made.middleware({ type: 'items', scope: 'public', tags, maxStaleness: 0 }), answer)
  app.get('/calm/:k', made.middleware({ type: 'calm', scope: 'public' }), answer)
  const write: import('express').RequestHandler = (req, res) => {
    commit(folder, String(req.params.k), Number(req.query.version))
    res.json({ shared: null })
  }
  app.post('/items/:k', made.invalidateOn({ types: [], tags }), write)
  app.post('/types/:k', made.invalidateOn({ types: ['items'] }), write)
  app.post('/told/:k', async (req, res) => {
    commit(folder, String(req.params.k), Number(req.query.version))
    res.json(await made.invalidate({ tag: `item:${req.params.k}` }))
  })
  return app
}

async function close(): Promise<void> {
  await http?.close()
  await cache?.stop()
  client?.disconnect()
  client = undefined
}

const handlers = {
  /** Resolves to the port of its HTTP server. Called again, it begins anew, knowing nothing. */
  async open(config: WorkerConfig): Promise<number> {
    await close()
    runs = {}
    held.clear()
    handlerMs = config.handlerMs ?? 0
    if (config.memoryOnly !== true) {
      client = new Redis({ port: config.redisPort, host: '127.0.0.1', ...config.client })
      client.on('error', () => {})
    }
    const quiet = (): void => {}
    const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
    cache = createRegistryCache({ redis: client, logger, ...config.cache })
    http = await listen(makeApp(config, cache))
    if (config.subscribe !== false) await cache.start()
    return http.port
  },
  stats: () => theCache().stats(),
  runs: (): Record<string, number> => runs,
  setHandlerMs: (ms: number): void => {
    handlerMs = ms
  },
  /** Handlers of this path wait from now on, after they have read the database. */
  hold: (path: string): void => void held.set(path, []),
  /** How many wait. */
  holding: (path: string): number => held.get(path)?.length ?? 0,
  release(path: string): void {
    for (const release of held.get(path) ?? []) release()
    held.delete(path)
  },
  invalidate: (target: string | { tag: string }): Promise<{ shared: boolean }> => theCache().invalidate(target),
}

export type RegistryWorker = typeof handlers

serve(handlers, close)
