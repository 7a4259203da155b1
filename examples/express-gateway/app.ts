/** The HTTP API: one cached router per entity type under /v1. START HERE, at `entityRouter`, to see how a route is cached. */
import compression from 'compression'
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express'
import helmet from 'helmet'
import { z } from 'zod'
import { type Access, adminOnly, authenticate, callerOf, scopeOf } from './access.ts'
import {
  createEntity,
  deleteEntity,
  type EntityType,
  entityTypes,
  getEntity,
  listEntities,
  parseEntity,
  updateEntity,
} from './entities.ts'
import { HttpError, toHttpError } from './errors.ts'
import { keyRouter } from './keys.ts'
import { limitRequests } from './limits.ts'
import { type Federation, federate } from './mcp.ts'
import { openApiDocument } from './openapi.ts'
import { operations } from './operations.ts'
import { createLog, type Logger, logRequests } from './request-log.ts'

export interface AppParts extends Access {
  federation: Federation
  log?: Logger
  /** Requests per minute and client that the cache can not answer. */
  rateLimit?: number
  /** How many proxies there are in front: their number of X-Forwarded-For tells the client's address. */
  trustProxy?: number
  /** Prometheus' text for /metrics; without it there is no such route. */
  metrics?: () => Promise<string>
  /** Which of several workers this is. */
  worker?: number
}

function entityRouter(type: EntityType, { db, cache, federation }: AppParts): Router {
  const router = express.Router()

  // Every GET below is answered from the cache, every write below makes it forget this type and those that depend on it.
  // scope: callers with the same string see the same, so they share entries; a team never gets what another one's holds.
  // responseCacheControl: our own `no-cache` (access.ts) is meant for browsers and proxies, not for this cache.
  const cached = cache.middleware({ type, scope: scopeOf, responseCacheControl: 'ignore' })
  router.use(cached, cached.invalidateOn('POST', 'PUT', 'PATCH', 'DELETE'))

  // Behind the cache: a hit has no body to parse.
  router.use(express.json({ limit: '256kb' }), jsonOnly)

  router.get('/', async (req, res) => {
    res.json(await listEntities(db, type, callerOf(req), req.query))
  })

  router.get('/:id', async (req, res) => {
    res.json(found(type, await getEntity(db, type, callerOf(req), req.params.id)))
  })

  if (type === 'gateways') {
    // Registering a gateway runs a program, and removing one undoes it: both are an admin's.
    router.use(adminOnly)
    router.post('/', async (req, res) => {
      const gateway = await federate(federation, req.body)
      res.status(201).location(`/v1/gateways/${gateway.id}`).json(gateway)
    })
  } else {
    router.post('/', async (req, res) => {
      const created = await createEntity(db, type, callerOf(req), req.body)
      res.status(201).location(`/v1/${type}/${created?.id}`).json(created)
    })
  }

  router.put('/:id', async (req, res) => {
    const replace = () => parseEntity(type, req.body)
    res.json(found(type, await updateEntity(db, type, callerOf(req), req.params.id, replace)))
  })

  router.patch('/:id', async (req, res) => {
    const changes = z.looseObject({}).parse(req.body)
    const merge = (current: object) => parseEntity(type, { ...current, ...changes })
    res.json(found(type, await updateEntity(db, type, callerOf(req), req.params.id, merge)))
  })

  router.delete('/:id', async (req, res) => {
    found(type, (await deleteEntity(db, type, callerOf(req), req.params.id)) || undefined)
    res.status(204).end()
  })

  return router
}

/** What goes for every request, in its order; a hit passes all of it, down to `authenticate`. */
export function createApp(parts: AppParts): Express {
  const { log = createLog('silent'), rateLimit = 60_000, trustProxy = 0, worker, federation } = parts
  const app = express()
  app.disable('x-powered-by')
  app.set('trust proxy', trustProxy)
  app.use(logRequests(log))
  app.use((_req, res, next) => {
    if (worker !== undefined) res.set('X-Worker', String(worker))
    next()
  })
  app.use(limitRequests(rateLimit))
  // Before helmet and compression: the dashboard has a stricter policy of its own, and sends events as they come.
  app.use(operations({ ...parts, signal: federation.signal }))
  app.use(helmet())
  // Before the cache, which keeps plain bytes: each client gets the encoding that it takes.
  app.use(compression())
  app.get('/openapi.json', (_req, res) => void res.json(openApiDocument))
  app.use('/v1', authenticate(parts))
  app.use('/v1/keys', keyRouter(parts))
  for (const type of entityTypes) app.use(`/v1/${type}`, entityRouter(type, parts))
  app.use((req, _res, next) => next(new HttpError(404, 'not_found', `no route for ${req.method} ${req.path}`)))
  app.use(answerError(log))
  return app
}

function found<Entity>(type: EntityType, entity: Entity | undefined): Entity {
  if (entity === undefined) throw new HttpError(404, 'not_found', `no such entity in ${type}`)
  return entity
}

/** A body that was sent as something else was not read, and "expected an object" would be a riddle. */
const jsonOnly: RequestHandler = (req, _res, next) => {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
  if (!hasBody || req.is('json')) return next()
  next(new HttpError(415, 'unsupported_media_type', 'send the body with Content-Type: application/json'))
}

function answerError(log: Logger): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (error, _req, res, next) => {
    const known = toHttpError(error)
    if (!known) log.error({ err: error }, 'a request failed')
    if (res.headersSent) return next(error)
    const { status, code, message, details } =
      known ?? new HttpError(500, 'internal_error', 'something failed on our side')
    res.status(status).json({ error: { code, message, details } })
  }
}
