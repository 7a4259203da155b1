/*
 * Compiled, never run: Express 4 and 5 accept our middlewares, we accept callbacks that are annotated with Express' own types, and
 * Express goes on to infer the types of a route's own handlers.
 */

import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import express, { type Request, type Response } from 'express'
import expressFour, { type Request as RequestFour, type Response as ResponseFour } from 'express4'
import { cacheDashboard } from '../../lib/dashboard/index.ts'
import {
  attachSubscriber,
  createRegistryCache,
  defaultCache,
  invalidateOn,
  type RegistryCacheStats,
  registryCacheMiddleware,
} from '../../lib/index.ts'

const cache = createRegistryCache()
const tools = cache.middleware({ type: 'tools', ttl: 20 })

interface User {
  readonly tenant: string
}

// Callbacks with Express' own types, and with none.
cache.middleware({
  type: 'tools',
  scope: (req: Request) => (req as Request & { user?: User }).user?.tenant,
  tags: (req: Request<{ id: string }>) => [`tool:${req.params.id}`],
  bypass: (req: RequestFour) => req.get('X-Debug') === '1',
  refresh: (req) => req.headers['x-refresh'] !== undefined,
})
cache.invalidateOn({
  types: ['tools'],
  tags: (req: Request, res: Response) => [`tool:${String(req.params.id)}:${String(res.locals.version)}`],
  when: (req: RequestFour, res: ResponseFour) => req.ip !== undefined && res.statusCode < 400,
})

const dashboard = cacheDashboard(cache, {
  authorize: async (req: Request) => (req as Request & { user?: User }).user?.tenant === 'ops',
  mayInvalidate: (req: RequestFour) => req.ip === '127.0.0.1',
  mayPreview: (req) => req.headers['x-preview'] === 'yes',
})
createServer(dashboard)

// Express 5.
const app = express()
app.use('/_cache', dashboard)
app.use(tools)
app.use('/tools', registryCacheMiddleware({ type: 'tools', scope: 'public' }), invalidateOn('POST', 'PUT'))
app.get('/tools/:id', tools, (req, res) => void res.json({ id: req.params.id }))
app.get<{ id: string }, { ok: boolean }>(
  '/tools/:id',
  tools,
  (req, res) => void res.json({ ok: req.params.id === '1' }),
)
app
  .route('/tools')
  .get(tools, (_req, res) => void res.json([]))
  .post(tools.invalidateOn())
const router = express.Router({ mergeParams: true })
router.use(tools, cache.invalidateOn('POST'))
router.post('/', tools.invalidateOn({ tags: ['team:1'] }), (_req, res) => void res.sendStatus(201))
app.use(router)
const listening = app.listen(0)
void attachSubscriber(listening)

// Express 4.
const appFour = expressFour()
appFour.use('/_cache', dashboard)
appFour.use(tools)
appFour.use('/tools', registryCacheMiddleware({ type: 'tools' }), invalidateOn({ methods: ['POST'], replicaLag: 1 }))
appFour.get('/tools/:id', tools, (req, res) => void res.json({ id: req.params.id }))
const routerFour = expressFour.Router()
routerFour.use(tools, cache.invalidateOn('POST'))
appFour.use(routerFour)
void attachSubscriber(appFour.listen(0))

void attachSubscriber(createServer(app))
void attachSubscriber(createSecureServer({}, app))

// Values keep the type of what is loaded.
export async function typed(): Promise<string> {
  const tool = await cache.wrap('tool_lookup', { name: 'a' }, async () => ({ name: 'a', gatewayId: 5 }), {
    ttl: 60,
    negativeTtl: 10,
    tags: (found) => ['tool_lookup:a', ...(found ? [`tool_lookup:gateway:${found.gatewayId}`] : [])],
  })
  const gatewayId: number = tool.gatewayId
  const { shared }: { shared: boolean } = await cache.invalidate({ tag: 'tool_lookup:a' })
  return `${gatewayId} ${shared}`
}

export const stats: RegistryCacheStats = defaultCache().stats()
cache.on('hit', ({ type, tier, ageMs }) => `${type} ${tier satisfies 'memory' | 'redis' | 'flight'} ${ageMs.toFixed()}`)
cache.on('redis', ({ up }) => up satisfies boolean)
cache.on('error', ({ code, operation }) => `${code} ${operation}`)

// @ts-expect-error nobody is said to be admitted
cacheDashboard(cache, { mayPreview: true })
// @ts-expect-error everybody is
cacheDashboard(cache, { authorize: true })
// @ts-expect-error no type
cache.middleware({ ttl: 20 })
// @ts-expect-error an unknown option
cache.middleware({ type: 'tools', ttls: 20 })
// @ts-expect-error a scope that is a promise
cache.middleware({ type: 'tools', scope: async () => 'a' })
// @ts-expect-error an unknown event
cache.on('hits', () => {})
// @ts-expect-error a request listener is no server
void attachSubscriber(app)
