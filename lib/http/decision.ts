/*
 * What to do with a request, decided before anything is looked up: which entry it asks for and who may have it, or why
 * the cache is left out. The middleware acts on it, and `explain` shows it.
 */

import type { IncomingHttpHeaders } from 'node:http'
import type { Entry } from '../cache/entry.ts'
import { ageMs } from '../cache/entry.ts'
import { isTag } from '../cache/names.ts'
import { ALL, typeTag, type Wanted } from '../cache/reading.ts'
import type { Clock } from '../cache/tiers.ts'
import type { ErrorCode } from '../errors.ts'
import { type CacheRequest, type FromRequest, isPromise } from './exchange.ts'
import { callersHash, type Memo, requestHash, type Target, variantHash } from './request-key.ts'
import type { RouteOptions } from './route-options.ts'
import { parseRequest } from './storable.ts'

/** What a request asks the cache for. */
class RequestWanted implements Wanted {
  readonly type: string
  readonly hash: string
  readonly tags: readonly string[]
  readonly maxStalenessMs: number
  accepts: Wanted['accepts']
  origin: Wanted['origin'] = undefined
  readonly #req: CacheRequest

  constructor(
    req: CacheRequest,
    route: RouteOptions,
    hash: string,
    tags: readonly string[],
    accepts: Wanted['accepts'],
  ) {
    this.type = route.type
    this.hash = hash
    this.tags = tags
    this.maxStalenessMs = route.maxStalenessMs
    this.accepts = accepts
    this.#req = req
  }

  variant(names: readonly string[]): string {
    return variantHash(this.hash, names, this.#req)
  }
}

export class Decision {
  readonly wanted: RequestWanted
  /** Of the request, read once: a getter makes them. */
  readonly headers: IncomingHttpHeaders
  /** The credential that no scope speaks for: only entries that a response marked as shareable count. */
  readonly credential: string | undefined
  /** What the route's scope function gave. */
  readonly scope: string | undefined
  /** Run the handler and replace the entry. */
  refresh: boolean
  noStore = false
  onlyIfCached = false

  constructor(
    wanted: RequestWanted,
    headers: IncomingHttpHeaders,
    credential: string | undefined,
    scope: string | undefined,
    refresh: boolean,
  ) {
    this.wanted = wanted
    this.headers = headers
    this.credential = credential
    this.scope = scope
    this.refresh = refresh
  }
}

export interface DeciderOptions {
  readonly route: RouteOptions
  readonly clock: Clock
  readonly memo: Memo | undefined
  /** A callback threw, or gave something malformed. */
  readonly onError: (code: ErrorCode, operation: string, message: string, cause?: unknown) => void
  /** Said once: scope gave nothing usable. */
  readonly onBadScope: (received: unknown) => void
}

export class Decider {
  readonly #options: DeciderOptions
  readonly #baseTags: readonly string[]

  constructor(options: DeciderOptions) {
    this.#options = options
    this.#baseTags = Object.freeze([typeTag(options.route.type), ALL])
  }

  /**
   * The decision, or the reason for which the cache is left out. Never throws. `target` is given where the request has not
   * been through Express, so that its path and query are known by an earlier one's.
   */
  decide(req: CacheRequest, target?: Target): Decision | string {
    const { route, memo } = this.#options
    const bypass = this.#call(req, 'bypass', route.bypass)
    if (bypass === FAILED) return 'bypass-error'
    if (bypass) return 'bypass'
    const refresh = this.#call(req, 'refresh', route.refresh)
    if (refresh === FAILED) return 'refresh-error'
    const scope = route.scope === 'public' ? undefined : this.#call(req, 'scope', route.scope)
    if (scope === FAILED) return 'scope-error'
    if (typeof route.scope === 'function' && (typeof scope !== 'string' || scope === '')) {
      if (scope === undefined) return 'scope'
      this.#options.onBadScope(scope)
      return 'scope-value'
    }
    const tags = this.#tags(req)
    if (typeof tags === 'string') return tags
    const hash = target ? callersHash(target, req, route, scope, memo) : requestHash(req, route, scope, memo)
    if (typeof hash !== 'string') return hash.bypass
    const headers = req.headers
    const credential = route.scope === undefined ? credentialOf(headers, req) : undefined
    const accepts = credential === undefined ? undefined : isShareable
    const wanted = new RequestWanted(req, route, hash, tags, accepts)
    const decision = new Decision(wanted, headers, credential, scope, refresh === true)
    return route.honoursRequest ? this.#honouring(decision) : decision
  }

  /** The client's own Cache-Control, on routes that let it count (RFC 9111 section 5.2.1). */
  #honouring(decision: Decision): Decision {
    const { clock } = this.#options
    const { headers, wanted } = decision
    const asked = parseRequest(headers['cache-control'], headers.pragma)
    const { accepts } = wanted
    const isYoungEnough = (entry: Entry): boolean => {
      const nowMs = clock.monotonic()
      const isOld = asked.maxAgeMs !== undefined && ageMs(entry, nowMs) > asked.maxAgeMs
      return !isOld && entry.staleAtMs - nowMs >= asked.minFreshMs
    }
    const hasLimits = asked.maxAgeMs !== undefined || asked.minFreshMs > 0
    if (hasLimits) wanted.accepts = (entry) => (accepts?.(entry) ?? true) && isYoungEnough(entry)
    decision.refresh ||= asked.noCache
    decision.noStore = asked.noStore
    decision.onlyIfCached = asked.onlyIfCached
    return decision
  }

  #tags(req: CacheRequest): readonly string[] | string {
    const { route, onError } = this.#options
    if (route.tags === undefined) return this.#baseTags
    const tags: unknown = this.#call(req, 'tags', route.tags)
    if (tags === FAILED) return 'tags-error'
    if (!Array.isArray(tags) || !tags.every(isTag)) {
      onError('ERR_TAG_NAME', 'tags', 'the route yields something else than a list of well-formed tags')
      return 'tags-error'
    }
    return [...new Set([...this.#baseTags, ...tags])]
  }

  #call<T>(req: CacheRequest, name: string, callback: FromRequest<T> | undefined): T | undefined | typeof FAILED {
    if (callback === undefined) return undefined
    try {
      const result = callback(req)
      // A scope that is one has a warning of its own.
      if (isPromise(result) && name !== 'scope') throw new TypeError('it gave a promise, which is not waited for')
      return result
    } catch (cause) {
      this.#options.onError('ERR_CALLBACK_THREW', name, cause instanceof Error ? cause.message : String(cause), cause)
      return FAILED
    }
  }
}

const FAILED = Symbol('failed')

const isShareable = (entry: Entry): boolean => entry.shareable

/** The first credential that a request carries, by the name that `Cache-Status` shows. */
function credentialOf(headers: IncomingHttpHeaders, req: CacheRequest): string | undefined {
  if (headers.authorization !== undefined) return 'authorization'
  if (headers['proxy-authorization'] !== undefined) return 'proxy-authorization'
  if (headers.cookie !== undefined) return 'cookie'
  if (headers['x-api-key'] !== undefined) return 'x-api-key'
  return identityOf(req)
}

/** What an authentication middleware has put on the request. */
export function identityOf(req: CacheRequest): 'user' | 'auth' | undefined {
  const user = req.user
  if (user !== undefined && user !== null) return 'user'
  const auth = req.auth
  return auth !== undefined && auth !== null ? 'auth' : undefined
}
