/*
 * The default cache behind registryCacheMiddleware, invalidateOn and attachSubscriber: the only global state of the
 * package. It lives under a registered symbol, so that two installed copies share it. Middlewares may be made before
 * it is configured (imports are hoisted); they read it at their first request.
 */
import { OptionError } from './errors.ts'
import type { CacheRequest, CacheResponse, Handler } from './http/exchange.ts'
import { type InvalidateOnOptions, resolveInvalidateOn } from './http/invalidate-on.ts'
import { markMounted, markPassing } from './http/mounting.ts'
import { type CacheMiddlewareOptions, checkRouteOptions } from './http/route-options.ts'
import { type RegistryCacheOptions, resolveOptions } from './options.ts'
import { createRegistryCache, mountingOf, type RegistryCache } from './registry-cache.ts'
import type { RegistryCacheMiddleware } from './routes.ts'

interface DefaultState {
  options: RegistryCacheOptions | undefined
  cache: RegistryCache | undefined
  /** Servers that the subscriber is attached to. */
  readonly servers: Set<object>
}

const KEY = Symbol.for('express-registry-cache')

function state(): DefaultState {
  const holder = globalThis as { [KEY]?: DefaultState }
  holder[KEY] ??= { options: undefined, cache: undefined, servers: new Set() }
  return holder[KEY]
}

/** The default cache, made at its first use. */
export function defaultCache(): RegistryCache {
  const current = state()
  current.cache ??= createRegistryCache(current.options)
  return current.cache
}

/**
 * Options of the default cache. Once, before the first request.
 * @throws OptionError
 */
export function configureRegistryCache(options: RegistryCacheOptions): void {
  const current = state()
  if (current.options !== undefined || current.cache !== undefined) {
    const expected = 'one call, before the first request or attachSubscriber'
    throw new OptionError('ERR_ALREADY_CONFIGURED', 'configureRegistryCache', options, expected)
  }
  resolveOptions(options)
  current.options = options
}

/**
 * As `cache.middleware`, on the default cache.
 * @throws OptionError
 */
export function registryCacheMiddleware(options: CacheMiddlewareOptions): RegistryCacheMiddleware {
  checkRouteOptions(options)
  let made: RegistryCacheMiddleware | undefined
  const registryCache: Handler = (req, res, next) => {
    made ??= defaultCache().middleware(options)
    made(req, res, next)
  }
  const ownInvalidateOn = (first?: string | InvalidateOnOptions, ...rest: string[]): Handler => {
    const own = typeof first === 'object' ? first : { methods: first === undefined ? undefined : [first, ...rest] }
    resolveInvalidateOn(first, rest)
    return deferred(() => defaultCache().invalidateOn({ ...own, types: own.types ?? [options.type] }))
  }
  markMounted(registryCache, options.type, () => made !== undefined)
  return Object.assign(registryCache, { invalidateOn: ownInvalidateOn })
}

/**
 * As `cache.invalidateOn`, on the default cache.
 * @throws OptionError
 */
export function invalidateOn(options: InvalidateOnOptions): Handler
export function invalidateOn(...methods: string[]): Handler
export function invalidateOn(first?: string | InvalidateOnOptions, ...rest: string[]): Handler {
  resolveInvalidateOn(first, rest)
  return deferred(() =>
    typeof first === 'object'
      ? defaultCache().invalidateOn(first)
      : defaultCache().invalidateOn(...methods(first, rest)),
  )
}

function methods(first: string | undefined, rest: readonly string[]): string[] {
  return first === undefined ? [] : [first, ...rest]
}

function deferred(make: () => Handler): Handler {
  let made: Handler | undefined
  return markPassing((req, res, next) => {
    made ??= make()
    made(req, res, next)
  })
}

/** What a node:http or node:https server, or one behind Express' `listen`, has. */
export interface ServerLike {
  once(event: 'close', listener: () => void): unknown
  /** What an Express application, which emits events too, does not have. */
  close(callback?: (error?: Error) => void): unknown
}

/**
 * Starts the default cache's subscriber with a server and stops it when the last attached one closes. Resolves like
 * `cache.start()`: when Redis is down too.
 * @throws OptionError when `server` is no server
 */
export function attachSubscriber(server: ServerLike): Promise<void> {
  const isServer = typeof server === 'object' && server !== null && typeof server.close === 'function'
  if (!isServer || typeof server.once !== 'function') {
    throw new OptionError('ERR_OPTION_TYPE', 'server', server, 'an http.Server, as app.listen() returns it')
  }
  const { servers } = state()
  const cache = defaultCache()
  if (!servers.has(server)) {
    servers.add(server)
    watchMounting(server, cache)
    server.once('close', () => {
      servers.delete(server)
      if (servers.size === 0) void cache.stop()
    })
  }
  return cache.start()
}

/** Nothing of ours runs for a request that no middleware of ours meets: the first ones are looked at here. */
function watchMounting(server: ServerLike, cache: RegistryCache): void {
  const mounting = mountingOf.get(cache)
  const { on, off } = server as { on?: unknown; off?: unknown }
  if (!mounting || typeof on !== 'function' || typeof off !== 'function') return
  const look = (req: CacheRequest, res: CacheResponse): void => {
    if (mounting.isWatching) mounting.watch(req, res)
    else off.call(server, 'request', look)
  }
  on.call(server, 'request', look)
}
