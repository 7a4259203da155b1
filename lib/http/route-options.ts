/*
 * The options of one cache middleware: checked once, in milliseconds, frozen. The defaults stand here.
 */
import { isType } from '../cache/names.ts'
import {
  checkBoolean,
  checkFunction,
  checkList,
  checkNames,
  checkNumber,
  checkOneOf,
  isString,
  isToken,
} from '../check.ts'
import { OptionError } from '../errors.ts'
import { SECONDS, TTL, TYPE_NAME } from '../options.ts'
import type { FromRequest } from './exchange.ts'

export interface CacheMiddlewareOptions {
  /** Entity type: 1 to 64 of A-Z a-z 0-9 _ . - */
  readonly type: string
  /** Seconds, above 0. Default: the type's. */
  readonly ttl?: number | undefined
  /**
   * Who may share an entry: `'public'` is everyone, a function gives the group of a caller (tenant, team, user; undefined
   * bypasses). Without it, requests with credentials bypass the cache, unless the response allows it (RFC 9111 3.5).
   */
  readonly scope?: 'public' | FromRequest<string | undefined> | undefined
  /** `allow`: a request with any other parameter bypasses. `ignore`: left out of the key. Default: all count. */
  readonly query?: { readonly allow?: readonly string[]; readonly ignore?: readonly string[] } | undefined
  /** Request headers that are always part of the key. Default none. */
  readonly vary?: readonly string[] | undefined
  /** Default `honour`: what the route says shortens the TTL or forbids storing. `ignore`: `ttl` alone counts. */
  readonly responseCacheControl?: 'honour' | 'ignore' | undefined
  /** Default `ignore`. `honour`: the client's no-cache, no-store, max-age, min-fresh and only-if-cached count. */
  readonly requestCacheControl?: 'honour' | 'ignore' | undefined
  /** Further tags that the entry depends on. */
  readonly tags?: FromRequest<readonly string[]> | undefined
  /** Statuses that are stored. Default [200]; 206 and 304 never are. */
  readonly status?: readonly number[] | undefined
  /** Seconds; 0 is strong mode. Default: the type's, else the cache's. */
  readonly maxStaleness?: number | undefined
  /** Seconds past the TTL during which others get the old answer while one recomputes. Default 0. */
  readonly staleWhileRevalidate?: number | undefined
  /** Seconds past the TTL during which the old answer replaces a 5xx. Default 0. */
  readonly staleIfError?: number | undefined
  /** 0 to 1: shortens each TTL by up to so much of it. Default 0. */
  readonly jitter?: number | undefined
  /** Keep br and gzip variants. Default false. */
  readonly compress?: boolean | undefined
  /**
   * Default false. True: hits may be answered by `cache.front(app)` before Express is entered; needs `scope`. The whole
   * head of the response is replayed there, but for Set-Cookie, hop-by-hop headers and those in `drop`.
   */
  readonly front?: boolean | { readonly drop?: readonly string[] } | undefined
  /** True: leave the cache out for this request. */
  readonly bypass?: FromRequest<boolean> | undefined
  /** True: run the handler and replace the entry. */
  readonly refresh?: FromRequest<boolean> | undefined
}

export interface RouteOptions {
  readonly type: string
  readonly ttlMs: number
  readonly scope: 'public' | FromRequest<string | undefined> | undefined
  readonly allow: ReadonlySet<string> | undefined
  readonly ignore: ReadonlySet<string>
  readonly vary: readonly string[]
  readonly honoursResponse: boolean
  readonly honoursRequest: boolean
  readonly tags: FromRequest<readonly string[]> | undefined
  readonly status: ReadonlySet<number>
  readonly maxStalenessMs: number
  readonly staleWhileRevalidateMs: number
  readonly staleIfErrorMs: number
  readonly jitter: number
  readonly compress: boolean
  /** Lower-case names of headers that the front door does not replay; undefined where it is shut. */
  readonly front: ReadonlySet<string> | undefined
  readonly bypass: FromRequest<boolean> | undefined
  readonly refresh: FromRequest<boolean> | undefined
}

const NAMES = [
  'type',
  'ttl',
  'scope',
  'query',
  'vary',
  'responseCacheControl',
  'requestCacheControl',
  'tags',
  'status',
  'maxStaleness',
  'staleWhileRevalidate',
  'staleIfError',
  'jitter',
  'compress',
  'front',
  'bypass',
  'refresh',
] as const satisfies readonly (keyof CacheMiddlewareOptions)[]

/** What the cache knows of a type. */
export interface TypeDefaults {
  readonly ttlMs: number
  readonly maxStalenessMs: number
}

/** What can be checked before the cache exists. Throws OptionError. */
export function checkRouteOptions(options: CacheMiddlewareOptions): void {
  resolveRouteOptions(options, () => ({ ttlMs: 1, maxStalenessMs: 0 }))
}

/** Throws OptionError. */
export function resolveRouteOptions(
  options: CacheMiddlewareOptions,
  defaultsOf: (type: string) => TypeDefaults,
): RouteOptions {
  checkNames('', options, NAMES)
  // Defaults of destructuring: undefined means omitted, null is a bad value.
  const { type, scope, query: givenQuery = {}, vary = [], status = [200] } = options
  if (type === undefined) throw new OptionError('ERR_OPTION_MISSING', 'type', type, TYPE_NAME)
  if (!isType(type)) throw new OptionError('ERR_TYPE_NAME', 'type', type, TYPE_NAME)
  if (scope !== undefined && scope !== 'public' && typeof scope !== 'function') {
    throw new OptionError('ERR_OPTION_TYPE', 'scope', scope, "'public' or a function of the request")
  }
  const query = checkNames('query', givenQuery, ['allow', 'ignore'])
  const names = (option: string, value: unknown): ReadonlySet<string> =>
    new Set(checkList(option, value, isString, 'names'))
  const allow = query.allow === undefined ? undefined : names('query.allow', query.allow)
  const ignore = names('query.ignore', query.ignore === undefined ? [] : query.ignore)
  const both = [...ignore].find((name) => allow?.has(name))
  if (both !== undefined) {
    throw new OptionError('ERR_OPTION_CONFLICT', 'query', both, 'no name both allowed and ignored')
  }
  const defaults = defaultsOf(type)
  const seconds = (option: 'staleWhileRevalidate' | 'staleIfError'): number =>
    checkNumber(option, options[option], SECONDS, 0) * 1000
  return Object.freeze({
    type,
    ttlMs: checkNumber('ttl', options.ttl, TTL, defaults.ttlMs / 1000) * 1000,
    scope,
    allow,
    ignore,
    vary: checkList('vary', vary, isToken, 'header names').map((name) => name.toLowerCase()),
    honoursResponse: honours('responseCacheControl', options.responseCacheControl, 'honour'),
    honoursRequest: honours('requestCacheControl', options.requestCacheControl, 'ignore'),
    tags: checkFunction('tags', options.tags),
    status: new Set(checkList('status', status, isStatus, STATUS, 'ERR_OPTION_RANGE')),
    maxStalenessMs: checkNumber('maxStaleness', options.maxStaleness, SECONDS, defaults.maxStalenessMs / 1000) * 1000,
    staleWhileRevalidateMs: seconds('staleWhileRevalidate'),
    staleIfErrorMs: seconds('staleIfError'),
    jitter: checkNumber('jitter', options.jitter, { min: 0, max: 1 }, 0),
    compress: checkBoolean('compress', options.compress, false),
    front: checkFront(options.front, scope !== undefined),
    bypass: checkFunction('bypass', options.bypass),
    refresh: checkFunction('refresh', options.refresh),
  })
}

function checkFront(front: CacheMiddlewareOptions['front'], hasScope: boolean): ReadonlySet<string> | undefined {
  if (front === undefined || front === false) return undefined
  if (!hasScope) {
    throw new OptionError('ERR_OPTION_CONFLICT', 'front', front, "a scope beside it ('public', or a function)")
  }
  const { drop } = front === true ? { drop: [] } : checkNames('front', front, ['drop'])
  return new Set(checkList('front.drop', drop ?? [], isToken, 'header names').map((name) => name.toLowerCase()))
}

function honours(option: string, value: unknown, fallback: 'honour' | 'ignore'): boolean {
  return checkOneOf(option, value, ['honour', 'ignore'] as const, fallback) === 'honour'
}

const STATUS = 'statuses from 200 to 599 other than 206 and 304'
const isStatus = (item: unknown): item is number =>
  Number.isInteger(item) && (item as number) >= 200 && (item as number) <= 599 && item !== 206 && item !== 304
