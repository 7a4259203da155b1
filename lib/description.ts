/*
 * What this cache is: its types, its routes, the epochs that it knows; and what a request would meet on one of its routes.
 */
import { parse as parseQuery } from 'node:querystring'
import type { Cache } from './cache/cache.ts'
import type { EpochRecord } from './cache/epoch-record.ts'
import { ALL } from './cache/reading.ts'
import { checkNames, isString, isToken } from './check.ts'
import { OptionError } from './errors.ts'
import { Decider } from './http/decision.ts'
import type { CacheRequest } from './http/exchange.ts'
import { type Explanation, explain } from './http/explain.ts'
import type { RouteOptions } from './http/route-options.ts'
import type { Seen } from './http/seen.ts'
import type { ResolvedOptions } from './options.ts'
import { entryKey } from './tiers/keys.ts'
import { VERSION } from './version.ts'

export interface TypeInfo {
  readonly type: string
  readonly ttlSeconds: number
  /** Direct ones: invalidating one of these invalidates this type too. */
  readonly dependsOn: readonly string[]
  readonly dependents: readonly string[]
}

export interface RouteInfo {
  readonly id: string
  readonly type: string
  /** `shared`: a function says who shares entries. */
  readonly scope: 'public' | 'shared' | 'none'
  readonly front: boolean
  /** Path and query of the last request, or of the one that made the entry which was served last. */
  readonly lastUrl?: string
}

export interface EpochInfo {
  readonly tag: string
  /** With a fraction where this worker raised it and Redis has not given its number yet. */
  readonly epoch: number
  /** Since the question whose reply confirmed it was sent; undefined when there was none, and without Redis. */
  readonly verifiedMsAgo?: number
  /** Whether it may be believed without asking Redis. */
  readonly known: boolean
  /** Whether Redis has not been told of a raise yet. */
  readonly pending: boolean
}

export interface CacheDescription {
  /** Of this worker, as in messages and events. */
  readonly worker: string
  readonly version: string
  readonly prefix: string
  readonly types: readonly TypeInfo[]
  /** Those that `middleware` made, the first 1,000. */
  readonly routes: readonly RouteInfo[]
  /** Pending ones first, then the most recently used; at most 200 are shown. */
  readonly epochs: { readonly total: number; readonly shown: readonly EpochInfo[] }
}

/** A request to try out. */
export interface ExplainRequest {
  /** Default GET. */
  readonly method?: string | undefined
  /** Path and query, or a whole URL. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>> | undefined
}

export interface ExplainedRoute {
  readonly route: string
  readonly explanation: Explanation
}

interface Route {
  readonly id: string
  readonly route: RouteOptions
  readonly seen: Seen
}

const MAX_ROUTES = 1000
const MAX_EPOCHS = 200
/** As many as Node takes (`maxHeadersCount` of a server). */
const MAX_HEADERS = 2000

export class Description {
  readonly #options: ResolvedOptions
  readonly #cache: Cache
  readonly #worker: string
  readonly #routes: Route[] = []

  constructor(options: ResolvedOptions, cache: Cache, worker: string) {
    this.#options = options
    this.#cache = cache
    this.#worker = worker
  }

  add(id: string, route: RouteOptions, seen: Seen): void {
    if (this.#routes.length < MAX_ROUTES) this.#routes.push({ id, route, seen })
  }

  describe(): CacheDescription {
    const { prefix, types } = this.#options
    const all = [...types]
    return {
      worker: this.#worker,
      version: VERSION,
      prefix,
      types: all.map(([type, { ttlMs, dependsOn }]) => ({
        type,
        ttlSeconds: ttlMs / 1000,
        dependsOn,
        dependents: all.filter(([, other]) => other.dependsOn.includes(type)).map(([name]) => name),
      })),
      routes: this.#routes.map(({ id, route, seen }) => ({
        id,
        type: route.type,
        scope: route.scope === 'public' ? 'public' : route.scope === undefined ? 'none' : 'shared',
        front: route.front !== undefined,
        ...(seen.origin ? { lastUrl: seen.origin.url } : {}),
      })),
      epochs: this.#epochs(),
    }
  }

  #epochs(): CacheDescription['epochs'] {
    const { epochs } = this.#cache.options
    const shown: EpochInfo[] = epochs
      .pending()
      .slice(0, MAX_EPOCHS)
      .map((record) => this.#epoch(record))
    for (const record of epochs.records()) {
      if (shown.length >= MAX_EPOCHS) break
      shown.push(this.#epoch(record))
    }
    return { total: epochs.size, shown }
  }

  #epoch(record: EpochRecord): EpochInfo {
    const { epochs, clock } = this.#cache.options
    const { types, maxStalenessMs } = this.#options
    const nowMs = clock.monotonic()
    const { tag, epoch, verifiedAtMs } = record
    const type = tag.startsWith(ALL) ? types.get(tag.slice(ALL.length)) : undefined
    return {
      tag,
      epoch,
      ...(Number.isFinite(verifiedAtMs) ? { verifiedMsAgo: nowMs - verifiedAtMs } : {}),
      known: epochs.isKnown(record, nowMs, type?.maxStalenessMs ?? maxStalenessMs),
      pending: epochs.isPending(record),
    }
  }

  /** Without an id: the route whose last URL begins with the most of this one's path. */
  explainRoute(id: string | undefined, request: ExplainRequest): ExplainedRoute {
    const { method, url, headers } = checkRequest(request)
    const chosen = id === undefined ? this.#closest(url) : this.#routes.find((route) => route.id === id)
    if (!chosen) {
      const ids = this.#routes.map((route) => JSON.stringify(route.id))
      const expected = ids.length === 0 ? 'a route, but none was made' : `one of ${ids.slice(0, 20).join(', ')}`
      throw new OptionError('ERR_ROUTE_ID', 'route', id, expected)
    }
    const { route, seen } = chosen
    const nothing = (): void => {}
    const { clock, prefix } = this.#options
    const decider = new Decider({ route, clock, memo: undefined, onError: nothing, onBadScope: nothing })
    const req = pretend(seen, method, url, headers)
    const keyOf = (type: string, hash: string): string => entryKey(prefix, type, hash)
    return { route: chosen.id, explanation: explain(req, route, decider, this.#cache, keyOf) }
  }

  #closest(url: string): Route | undefined {
    const wanted = segmentsOf(pathOf(url))
    let best: { route: Route; score: number } | undefined
    for (const route of this.#routes) {
      if (!route.seen.origin) continue
      const segments = segmentsOf(pathOf(route.seen.origin.url))
      const differs = segments.findIndex((segment, i) => segment !== wanted[i])
      const same = differs === -1 ? segments.length : differs
      // Of two that share as much, the one with as many segments: `/tools/7` is more like `/tools/3` than like `/tools`.
      const score = same === 0 && wanted.length > 0 ? 0 : 2 * same + (segments.length === wanted.length ? 1 : 0)
      if (score > (best?.score ?? 0)) best = { route, score }
    }
    return best?.route ?? (this.#routes.length === 1 ? this.#routes[0] : undefined)
  }
}

function checkRequest(request: ExplainRequest): { method: string; url: string; headers: Record<string, string> } {
  checkNames('request', request, ['method', 'url', 'headers'])
  const { method = 'GET', url, headers = {} } = request
  if (!isToken(method)) throw new OptionError('ERR_OPTION_TYPE', 'request.method', method, 'a method, like GET')
  const path = isString(url) ? url.replace(/^https?:\/\/[^/?#]*/i, '').replace(/#.*$/s, '') : undefined
  const isUrl = path !== undefined && path.length <= 16_384 && /^[/?]|^$/.test(path) && !/\s/.test(path)
  if (!isUrl || (path === '' && url === '')) {
    throw new OptionError('ERR_OPTION_TYPE', 'request.url', url, 'a path that begins with /, or a whole URL')
  }
  const names = Object.keys(headers ?? {})
  if (names.length > MAX_HEADERS) {
    throw new OptionError('ERR_OPTION_RANGE', 'request.headers', names.length, `at most ${MAX_HEADERS} headers`)
  }
  checkNames('request.headers', headers, names)
  const lower: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue
    const lines: readonly unknown[] = Array.isArray(value) ? value : [value]
    if (!isToken(name) || !lines.every(isString)) {
      throw new OptionError(
        'ERR_OPTION_TYPE',
        `request.headers.${name.slice(0, 80)}`,
        value,
        'a header name with a string',
      )
    }
    lower[name.toLowerCase()] = lines.join(', ')
  }
  return { method: method.toUpperCase(), url: path.startsWith('/') ? path : `/${path}`, headers: lower }
}

/** A request as it would reach the route: what the application makes of a URL is known once it has routed one there. */
function pretend(seen: Seen, method: string, url: string, headers: Record<string, string>): CacheRequest {
  const app = seen.app as { get?: (setting: string) => unknown; request?: object } | undefined
  const path = pathOf(url)
  const search = url.slice(path.length + 1)
  // As many segments as the last request's: those of a pattern like /orgs/:org differ.
  const mounted = segmentsOf(path).slice(0, segmentsOf(seen.baseUrl).length)
  const baseUrl = mounted.map((segment) => `/${segment}`).join('')
  const rest = path.slice(baseUrl.length) || '/'
  const parser = app?.get?.('query parser fn')
  const query: unknown = typeof parser === 'function' ? parser(search) : app ? {} : parseQuery(search)
  const members = {
    method,
    headers,
    url: url.length > path.length ? `${rest}?${search}` : rest,
    originalUrl: url,
    baseUrl,
    path: rest,
    query,
    params: {},
    app,
  }
  const described: PropertyDescriptorMap = {}
  // Defined, not assigned: Express has getters of these names, and its methods (`req.get`) are there for a scope function.
  for (const [name, value] of Object.entries(members)) described[name] = { value, enumerable: true, writable: true }
  return Object.create(app?.request ?? Object.prototype, described) as CacheRequest
}

function pathOf(url: string): string {
  const at = url.indexOf('?')
  return at === -1 ? url : url.slice(0, at)
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '')
}
