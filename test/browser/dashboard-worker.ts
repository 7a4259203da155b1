/*
 * A worker with a dashboard: lists that a gateway would serve, from a "database" that takes its time, with what makes each kind
 * of outcome beside them.
 *
 *   GET  /TYPE            a cached list of that type, scope public; ?page= is part of the key
 *   GET  /mine            cached without a scope: a request with credentials is left out
 *   GET  /teams           cached, shared by the `x-team` of the request, tagged `team:list`
 *   POST /TYPE            invalidates the type
 *   /_cache               the dashboard
 */
import { createServer, type Server } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { Request } from 'express'
import { Redis } from 'ioredis'
import type { Clock } from '../../lib/cache/tiers.ts'
import { cacheDashboard } from '../../lib/dashboard/index.ts'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { express5 } from '../helpers/http.ts'
import { serve } from '../helpers/worker.ts'

export interface DashboardWorkerConfig {
  /** Without one: memory only. */
  redisPort?: number
  /** Default: a free one. */
  port?: number
  mayInvalidate?: boolean
  mayPreview?: boolean
  /** Only requests with this cookie are admitted; default: whoever comes from this machine. */
  session?: string
  /** How long a handler takes; default 3. */
  handlerMs?: number
  ttl?: number
  /** How many times faster than others' the dashboard's clock goes: so many of its ticks come in a second. */
  speed?: number
}

const TYPES = ['gateways', 'catalog', 'agents', 'tools', 'prompts', 'resources', 'servers']

let cache: RegistryCache | undefined
let client: Redis | undefined
let server: Server | undefined

function theCache(): RegistryCache {
  if (cache === undefined) throw new Error('open() was not called')
  return cache
}

function makeApp(made: RegistryCache, config: DashboardWorkerConfig): ReturnType<typeof express5> {
  const { mayInvalidate = true, mayPreview = true, session, handlerMs = 3, ttl, speed = 1 } = config
  const app = express5()
  app.set('etag', false)
  const authorize =
    session === undefined
      ? ('local' as const)
      : (req: { headers: { cookie?: string } }) => (req.headers.cookie ?? '').includes(`session=${session}`)
  const clock = hastyClock(speed)
  app.use('/_cache', cacheDashboard(made, { authorize: authorize as 'local', mayInvalidate, mayPreview, clock }))
  const listOf = (type: string) => async (req: Request, res: import('express').Response) => {
    const base = (TYPES.indexOf(type) + 2) * handlerMs
    await pause(base / 2 + Math.random() * base)
    const page = Number(req.query.page ?? 1)
    const records = Array.from({ length: 20 }, (_, i) => ({
      id: 20 * (page - 1) + i + 1,
      name: `${type.replace(/s$/, '')}-${20 * (page - 1) + i + 1}`,
      enabled: (i + page) % 7 !== 0,
      description: 'Searches issues and pull requests, and answers with those that fit best.',
    }))
    res.json({ page, records })
  }
  const more = ttl === undefined ? {} : { ttl }
  for (const type of TYPES) {
    const cached = made.middleware({ type, scope: 'public', ...more })
    app.get(`/${type}`, cached, listOf(type))
    app.post(`/${type}`, cached.invalidateOn('POST'), (_req, res) => void res.status(201).json({ created: true }))
  }
  app.get('/mine', made.middleware({ type: 'tools', ...more }), listOf('tools'))
  app.get(
    '/teams',
    made.middleware({
      type: 'servers',
      tags: () => ['team:list'],
      scope: (req) => req.headers['x-team'] as string | undefined,
      ...more,
    }),
    listOf('servers'),
  )
  return app
}

function hastyClock(speed: number): Clock {
  const startedAtMs = Date.now()
  return {
    now: () => startedAtMs + (Date.now() - startedAtMs) * speed,
    monotonic: () => performance.now() * speed,
    setTimeout: (run, ms) => setTimeout(run, ms / speed).unref(),
    clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
  }
}

async function close(): Promise<void> {
  await cache?.stop()
  await new Promise<void>((resolve) => {
    if (!server?.listening) return resolve()
    server.close(() => resolve())
    server.closeAllConnections()
  })
  client?.disconnect()
}

const handlers = {
  /** Resolves to the port of its HTTP server. */
  async open(config: DashboardWorkerConfig): Promise<number> {
    if (config.redisPort !== undefined) {
      client = new Redis({ port: config.redisPort, host: '127.0.0.1' })
      client.on('error', () => {})
    }
    const quiet = (): void => {}
    const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
    cache = createRegistryCache({ redis: client, logger })
    const made = createServer(makeApp(cache, config))
    server = made
    await new Promise<void>((resolve, reject) => {
      made.once('error', reject)
      made.listen(config.port ?? 0, '127.0.0.1', resolve)
    })
    await cache.start()
    const address = made.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  },
  stats: () => theCache().stats(),
  /** Ends every connection, as a proxy does that is restarted. */
  hangUp: (): void => server?.closeAllConnections(),
  /** Values, so many at once. */
  async fill(type: string, from: number, to: number): Promise<void> {
    const numbers = Array.from({ length: to - from }, (_, i) => from + i)
    await Promise.all(numbers.map((n) => theCache().set(type, { n, name: `entry ${n}` }, { n }, { ttl: 3600 })))
  },
  invalidate: (target: string | { tag: string }): Promise<{ shared: boolean }> => theCache().invalidate(target),
  /** Invalidates one tag after the other. */
  async invalidateMany(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await theCache().invalidate({ tag: `tool_lookup:number-${i}` })
  },
}

export type DashboardWorker = typeof handlers

serve(handlers, close)
