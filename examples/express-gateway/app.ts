/** The HTTP API: one cached router per entity type under /v1. START HERE to see how a route is cached. */
import { createHash, timingSafeEqual } from 'node:crypto'
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express'
import type { RegistryCache } from 'express-registry-cache'
import { z } from 'zod'
import type { Database } from './db.ts'
import {
  deleteEntity,
  type EntityType,
  entityTypes,
  getEntity,
  insertEntities,
  listEntities,
  parseEntity,
  updateEntity,
} from './entities.ts'
import { HttpError, toHttpError } from './errors.ts'
import { type Federation, federate } from './mcp.ts'

export interface AppParts {
  db: Database
  cache: RegistryCache
  federation: Federation
  adminToken: string
}

export function createApp(parts: AppParts): Express {
  const app = express()
  app.disable('x-powered-by')
  for (const type of entityTypes) app.use(`/v1/${type}`, entityRouter(type, parts))
  app.use((req, _res, next) => next(new HttpError(404, 'not_found', `no route for ${req.method} ${req.path}`)))
  app.use(answerError)
  return app
}

function entityRouter(type: EntityType, { db, cache, federation, adminToken }: AppParts): Router {
  const router = express.Router()

  // Every GET below is answered from the cache, every write below makes it forget this type and those that depend on it.
  // 'public': all callers see the same lists, so they share the entries, whatever credentials they send. Where a caller
  // sees less than another, return what sets them apart: scope: (req) => req.user.team
  const cached = cache.middleware({ type, scope: 'public' })
  router.use(cached, cached.invalidateOn('POST', 'PUT', 'PATCH', 'DELETE'))

  // Behind the cache: a hit has no body to parse.
  router.use(express.json({ limit: '256kb' }))

  router.get('/', async (req, res) => {
    res.json(await listEntities(db, type, req.query))
  })

  router.get('/:id', async (req, res) => {
    res.json(found(type, await getEntity(db, type, req.params.id)))
  })

  if (type === 'gateways') {
    // Registering a gateway runs a program, and removing one undoes it: both are an admin's.
    router.use(adminOnly(adminToken))
    router.post('/', async (req, res) => {
      const gateway = await federate(federation, req.body)
      res.status(201).location(`/v1/gateways/${gateway.id}`).json(gateway)
    })
  } else {
    router.post('/', async (req, res) => {
      const [created] = await insertEntities(db.query, type, [parseEntity(type, req.body)])
      res.status(201).location(`/v1/${type}/${created?.id}`).json(created)
    })
  }

  router.put('/:id', async (req, res) => {
    res.json(found(type, await updateEntity(db, type, req.params.id, () => parseEntity(type, req.body))))
  })

  router.patch('/:id', async (req, res) => {
    const changes = z.looseObject({}).parse(req.body)
    const merge = (current: object) => parseEntity(type, { ...current, ...changes })
    res.json(found(type, await updateEntity(db, type, req.params.id, merge)))
  })

  router.delete('/:id', async (req, res) => {
    found(type, (await deleteEntity(db, type, req.params.id)) || undefined)
    res.status(204).end()
  })

  return router
}

function found<Entity>(type: EntityType, entity: Entity | undefined): Entity {
  if (entity === undefined) throw new HttpError(404, 'not_found', `no such entity in ${type}`)
  return entity
}

function adminOnly(token: string): RequestHandler {
  // Digests have one length, which timingSafeEqual asks for.
  const digest = (text: string) => createHash('sha256').update(text).digest()
  const expected = digest(`Bearer ${token}`)
  return (req, res, next) => {
    if (timingSafeEqual(digest(req.get('authorization') ?? ''), expected)) return next()
    res.set('WWW-Authenticate', 'Bearer')
    next(new HttpError(401, 'admin_token_required', 'send the header "Authorization: Bearer ADMIN_TOKEN"'))
  }
}

/** Express knows an error handler by its four parameters. */
const answerError: ErrorRequestHandler = (error, _req, res, next) => {
  if (res.headersSent) return next(error)
  const known = toHttpError(error)
  if (!known) console.error(error)
  const { status, code, message, details } =
    known ?? new HttpError(500, 'internal_error', 'something failed on our side')
  res.status(status).json({ error: { code, message, details } })
}
