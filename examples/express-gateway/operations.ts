/** What operators and their tools ask for: /healthz, /readyz, /metrics and the cache's dashboard at /_cache. */
import express, { type Router } from 'express'
import type { RegistryCache } from 'express-registry-cache'
import { cacheDashboard } from 'express-registry-cache/dashboard'
import { isAdminByPassword } from './access.ts'
import type { Database } from './db.ts'

export interface Operations {
  db: Database
  cache: RegistryCache
  adminToken: string
  /** Prometheus' text format. */
  metrics?: () => Promise<string>
  /** Aborted at shutdown: nothing new is to be sent here. */
  signal: AbortSignal
}

export function operations({ db, cache, adminToken, metrics, signal }: Operations): Router {
  const router = express.Router()

  // Alive, whatever else is not: a restart would help nobody.
  router.get('/healthz', (_req, res) => {
    res.json({ status: 'ok' })
  })

  // Without Redis every request is answered still, so this process is worth sending requests to: degraded, not down.
  router.get('/readyz', async (_req, res) => {
    const { redis, redisAvailable } = cache.stats()
    const parts = {
      database: (await answers(db)) ? 'up' : 'down',
      redis: redis === undefined ? 'none' : redisAvailable ? 'up' : 'down',
    }
    if (signal.aborted) return void res.status(503).json({ status: 'stopping', ...parts })
    if (parts.database === 'down') return void res.status(503).json({ status: 'unavailable', ...parts })
    res.json({ status: parts.redis === 'down' ? 'degraded' : 'ready', ...parts })
  })

  if (metrics) {
    router.get('/metrics', async (_req, res) => {
      res.type('text/plain; version=0.0.4').send(await metrics())
    })
  }

  // Not `authorize: 'local'`: every user and program of this machine may connect from loopback, and the page can invalidate.
  const isAdmin = (req: { headers: { authorization?: string | undefined } }) => isAdminByPassword(req, adminToken)
  const dashboard = cacheDashboard(cache, { authorize: isAdmin, mayPreview: true })
  // An open page is a request that never ends: the shutdown would wait for it.
  signal.addEventListener('abort', () => dashboard.close(), { once: true })
  router.use(
    '/_cache',
    (req, res, next) => {
      if (isAdmin(req)) return next()
      res.set('WWW-Authenticate', 'Basic realm="registry cache: any user, ADMIN_TOKEN as the password"')
      res.status(401).type('text').send('The admin token is asked for as the password; any user name will do.\n')
    },
    dashboard,
  )

  return router
}

async function answers(db: Database): Promise<boolean> {
  const query = db.query('select 1').then(
    () => true,
    () => false,
  )
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), 2_000)
  })
  return await Promise.race([query, silence]).finally(() => clearTimeout(timer))
}
