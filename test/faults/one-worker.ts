/*
 * A cache with an Express application in this process, for tests that need no fork: what it is given, what ran, what it closes.
 */

import { createRegistryCache, type RegistryCache, type RegistryCacheOptions } from '../../lib/index.ts'
import type { RedisClient } from '../../lib/tiers/redis-client.ts'
import { type Answer, express5, type Listening, listen, request } from '../helpers/http.ts'

export interface OneWorker {
  readonly cache: RegistryCache
  readonly http: Listening
  /** `GET /TYPE/…` */
  get(path: string): Promise<Answer>
  /** `POST /TYPE/…`, which invalidates the type. */
  post(path: string): Promise<Answer>
  /** How often the handlers of a type have run. */
  runs(type: string): number
  /** What was emitted as `error`, by code. */
  readonly errors: string[]
  readonly invalidated: string[]
  stop(): Promise<void>
}

/** Routes for these types; an entry of `/TYPE/NAME` is also tagged by `tag=` parameters. */
export async function startOne(
  client: unknown,
  options: RegistryCacheOptions = {},
  types: readonly string[] = ['items'],
): Promise<OneWorker> {
  const quiet = (): void => {}
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  const cache = createRegistryCache({ redis: client as RedisClient, logger, ...options })
  const errors: string[] = []
  const invalidated: string[] = []
  cache.on('error', (error) => errors.push(error.code))
  cache.on('invalidate', ({ tag }) => invalidated.push(tag))
  const runs = new Map<string, number>()
  const app = express5()
  for (const type of types) {
    const tags = (req: import('express').Request): string[] =>
      req.query.tag === undefined ? [] : [String(req.query.tag)]
    const middleware = cache.middleware({ type, scope: 'public', tags })
    app.get(`/${type}/:name`, middleware, (req, res) => {
      runs.set(type, (runs.get(type) ?? 0) + 1)
      res.json({ type, name: req.params.name, run: runs.get(type) })
    })
    app.post(`/${type}/:name`, middleware.invalidateOn('POST'), (_req, res) => void res.json({}))
  }
  const http = await listen(app)
  return {
    cache,
    http,
    get: (path) => request(http, { path }),
    post: (path) => request(http, { method: 'POST', path }),
    runs: (type) => runs.get(type) ?? 0,
    errors,
    invalidated,
    async stop() {
      await http.close()
      await cache.stop()
    },
  }
}
