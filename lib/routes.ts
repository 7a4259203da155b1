/*
 * From options to middlewares: what `middleware`, `invalidateOn`, `explain` and `front` of a cache do.
 */
import type { RequestListener } from 'node:http'
import { typeTag } from './cache/reading.ts'
import { OptionError } from './errors.ts'
import { CacheMiddleware } from './http/cache-middleware.ts'
import { Decider } from './http/decision.ts'
import type { CacheRequest, Handler } from './http/exchange.ts'
import { type Explanation, explain } from './http/explain.ts'
import type { FrontRoute } from './http/front-door.ts'
import { countHit } from './http/hit.ts'
import {
  type InvalidateOnDeps,
  type InvalidateOnOptions,
  makeInvalidateOn,
  resolveInvalidateOn,
} from './http/invalidate-on.ts'
import { markMounted } from './http/mounting.ts'
import type { RouteContext } from './http/route-context.ts'
import { type CacheMiddlewareOptions, type RouteOptions, resolveRouteOptions } from './http/route-options.ts'
import { makeSeen } from './http/seen.ts'
import { entryKey } from './tiers/keys.ts'
import type { Worker } from './worker.ts'

/** A cache middleware; it knows its type, so `invalidateOn` made from it needs none. */
export interface RegistryCacheMiddleware extends Handler {
  invalidateOn(options: InvalidateOnOptions): Handler
  invalidateOn(...methods: string[]): Handler
}

export class Routes {
  readonly #worker: Worker
  #count = 0

  constructor(worker: Worker) {
    this.#worker = worker
  }

  middleware(options: CacheMiddlewareOptions): RegistryCacheMiddleware {
    const { types, fleet, marks, counters, events, upkeep, memos, description } = this.#worker
    const { clock, enabled, headers } = this.#worker.options
    const route = this.#route(options)
    types.checkTypo(route.type)
    if (options.ttl !== undefined) types.checkUnit(`the TTL of ${route.type}`, route.ttlMs)
    types.noteLife(route.ttlMs + Math.max(route.staleWhileRevalidateMs, route.staleIfErrorMs))
    const name = `${route.type} ${++this.#count}`
    const { failed: onError, warn } = upkeep
    const decider = new Decider({
      route,
      clock,
      memo: memos.make(),
      onError,
      onBadScope: (received) =>
        warn(
          'ERR_SCOPE_VALUE',
          `scope of ${route.type} gave ${received === '' ? 'an empty string' : `something of type ${typeof received}`}: give a string of at ` +
            'least one character, or undefined to bypass; a promise is not waited for',
          name,
        ),
    })
    const compressor = route.compress ? this.#worker.compressor : undefined
    const front: FrontRoute | undefined = route.front && {
      door: this.#worker.frontDoor,
      route,
      decider,
      compressor,
      onHit: (hit) => countHit(context, hit),
      onDefect: (cause) => context.onDefect(cause),
    }
    const seen = makeSeen()
    description.add(name, route, seen)
    const context: RouteContext = {
      route,
      name,
      seen,
      front,
      decider,
      cache: this.#worker.cache,
      fleet,
      marks,
      counters,
      events,
      clock,
      enabled,
      compressor,
      headers,
      warn,
      checkSubscriber: () => this.#worker.checkSubscriber(),
      onDefect: (cause) => onError('ERR_CALLBACK_THREW', 'request', String(cause), cause),
    }
    const { handle } = new CacheMiddleware(context)
    const middleware: Handler = function registryCache(req, res, next) {
      handle(req, res, next)
    }
    const invalidateOn = (first?: string | InvalidateOnOptions, ...rest: string[]): Handler =>
      this.invalidateOn(first, rest, [route.type])
    markMounted(middleware, route.type, () => seen.app !== undefined)
    return Object.assign(middleware, { invalidateOn })
  }

  /** `ownTypes`: those of the middleware that it was made from. */
  invalidateOn(
    first: string | InvalidateOnOptions | undefined,
    rest: readonly string[],
    ownTypes: readonly string[] | undefined,
  ): Handler {
    const options = resolveInvalidateOn(first, rest)
    for (const type of options.types ?? []) this.#worker.types.checkTypo(type)
    const { counters, mounting, upkeep } = this.#worker
    const deps: InvalidateOnDeps = {
      invalidate: (tags, cause) => this.#worker.tell(tags, cause),
      invalidations: () => counters.invalidations,
      watch: this.#worker.options.enabled ? mounting.watch : undefined,
      warn: upkeep.warn,
      typeTag,
      later: upkeep.later,
      onError: upkeep.failed,
    }
    return makeInvalidateOn({ ...options, types: options.types ?? ownTypes }, () => deps)
  }

  explain(req: CacheRequest, options: CacheMiddlewareOptions): Explanation {
    const route = this.#route(options)
    const nothing = (): void => {}
    const { clock, prefix } = this.#worker.options
    const decider = new Decider({ route, clock, memo: undefined, onError: nothing, onBadScope: nothing })
    return explain(req, route, decider, this.#worker.cache, (type, hash) => entryKey(prefix, type, hash))
  }

  front(app: (req: never, res: never) => unknown): RequestListener {
    if (typeof app !== 'function') {
      throw new OptionError('ERR_OPTION_TYPE', 'app', app, 'an Express app, or another request listener')
    }
    return this.#worker.options.enabled ? this.#worker.frontDoor.listener(app) : (app as RequestListener)
  }

  #route(options: CacheMiddlewareOptions): RouteOptions {
    const { types } = this.#worker
    return resolveRouteOptions(options, (type) => ({
      ttlMs: types.ttlMs(type),
      maxStalenessMs: types.maxStalenessMs(type),
    }))
  }
}
