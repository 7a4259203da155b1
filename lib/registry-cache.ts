/*
 * What users hold: a facade over one worker's cache (worker.ts) and its routes (routes.ts). Checks what it is given.
 */
import type { RequestListener } from 'node:http'
import { isTag } from './cache/names.ts'
import { ALL, typeTag } from './cache/reading.ts'
import { type Filters, hashFilters } from './cache/values.ts'
import { checkFunction, checkList, checkNames, refuseRequest } from './check.ts'
import type { CacheDescription, ExplainedRoute, ExplainRequest } from './description.ts'
import { OptionError, type TierError } from './errors.ts'
import type { CacheEventName, CacheEvents } from './events.ts'
import type { CacheRequest, Handler } from './http/exchange.ts'
import type { Explanation } from './http/explain.ts'
import type { InvalidateOnOptions } from './http/invalidate-on.ts'
import type { Mounting } from './http/mounting.ts'
import type { CacheMiddlewareOptions } from './http/route-options.ts'
import type { EntryEvicted, EntryPage, EntryPreview, EntryQuery } from './inspection.ts'
import type { RegistryCacheOptions } from './options.ts'
import { type RegistryCacheMiddleware, Routes } from './routes.ts'
import { countsOf, type RegistryCacheCounts, type RegistryCacheStats, statsOf } from './stats.ts'
import type { FleetView } from './tiers/fleet-view.ts'
import { Worker } from './worker.ts'

export interface SetOptions {
  /** Seconds, above 0. Default: the type's. */
  readonly ttl?: number | undefined
  /** Further tags that the value depends on. */
  readonly tags?: readonly string[] | undefined
}

export interface WrapOptions<T> {
  /** Seconds, above 0. Default: the type's. */
  readonly ttl?: number | undefined
  /** Seconds for a `null`. Default `ttl`. */
  readonly negativeTtl?: number | undefined
  /** A list, or what the loaded value reveals (called with `null` too). */
  readonly tags?: readonly string[] | ((value: T | null) => readonly string[]) | undefined
}

export class RegistryCache {
  readonly #worker: Worker
  readonly #routes: Routes

  /** @throws OptionError */
  constructor(options: RegistryCacheOptions = {}) {
    this.#worker = new Worker(options)
    this.#routes = new Routes(this.#worker)
    mountingOf.set(this, this.#worker.mounting)
  }

  // --- life -----------------------------------------------------------------------------------------------------

  /** Attaches the subscriber. Idempotent, also after `stop`; resolves when Redis is down too, and keeps trying. Never rejects. */
  async start(): Promise<void> {
    await this.#worker.start()
  }

  /** Detaches everything: no timer, socket or listener of ours is left. Idempotent, safe before `start`, bounded in time. */
  async stop(): Promise<void> {
    await this.#worker.stop()
  }

  // --- Express --------------------------------------------------------------------------------------------------

  /**
   * A middleware that answers GET and HEAD from the cache and fills it on a miss.
   * @throws OptionError
   */
  middleware(options: CacheMiddlewareOptions): RegistryCacheMiddleware {
    // Before `this` is used: mounted itself, it has none.
    refuseRequest('', options)
    return this.#routes.middleware(options)
  }

  /**
   * A middleware that invalidates after a mutation and before its client sees the end of the answer.
   * @throws OptionError
   */
  invalidateOn(options: InvalidateOnOptions): Handler
  invalidateOn(...methods: string[]): Handler
  invalidateOn(first?: string | InvalidateOnOptions, ...rest: string[]): Handler {
    refuseRequest('', first)
    return this.#routes.invalidateOn(first, rest, undefined)
  }

  /**
   * The decision for a request, as data: what a middleware with these options would do with it now, and why. Looks at this
   * worker's memory only, and changes nothing. `req` is Express' own, or an object with `method`, `path`, `query` and
   * `headers`.
   * @throws OptionError
   */
  explain(req: CacheRequest, options: CacheMiddlewareOptions): Explanation {
    return this.#routes.explain(req, options)
  }

  /**
   * A request listener for `http.createServer` (or https) that answers hits of routes marked `front: true` before Express
   * is entered, and hands everything else to `app`. On such hits no middleware runs; a `hit` event with `via: 'front'`
   * serves logs.
   * @throws OptionError when `app` is no function
   */
  front(app: (req: never, res: never) => unknown): RequestListener {
    return this.#routes.front(app)
  }

  // --- values ---------------------------------------------------------------------------------------------------

  /**
   * The value, a fresh copy, or undefined.
   * @throws OptionError, ValueError
   */
  async get(type: string, filters?: Filters): Promise<unknown> {
    const { types, values, isEnabled } = this.#worker
    types.check(type)
    hashFilters(filters)
    return isEnabled ? await values.get(type, filters) : undefined
  }

  /**
   * Stores a JSON value in both tiers. A value that was computed before an invalidation that this worker has not heard of
   * yet is stored all the same: prefer `wrap`, which stamps it when its computation begins.
   * @throws OptionError, ValueError
   */
  async set(type: string, value: unknown, filters?: Filters, options: SetOptions = {}): Promise<void> {
    const { types, values, isEnabled } = this.#worker
    types.check(type)
    checkNames('options', options, ['ttl', 'tags'])
    const ttlMs = types.givenTtlMs('ttl', options.ttl, types.ttlMs(type))
    const tags = checkTags(options.tags)
    hashFilters(filters)
    if (isEnabled) await values.set(type, value, filters, ttlMs, tags)
  }

  /**
   * The value, loaded once per worker and once per fleet where it is not there. What `load` throws is thrown.
   * @throws OptionError, ValueError
   */
  async wrap<T>(
    type: string,
    filters: Filters | undefined,
    load: () => T | Promise<T>,
    options: WrapOptions<T> = {},
  ): Promise<T> {
    const { types, values, isEnabled } = this.#worker
    types.check(type)
    if (checkFunction('load', load) === undefined) {
      throw new OptionError('ERR_OPTION_MISSING', 'load', load, 'a function')
    }
    checkNames('options', options, ['ttl', 'negativeTtl', 'tags'])
    const ttlMs = types.givenTtlMs('ttl', options.ttl, types.ttlMs(type))
    const negativeTtlMs = types.givenTtlMs('negativeTtl', options.negativeTtl, ttlMs)
    const { tags } = options
    const checked = typeof tags === 'function' ? tags : checkTags(tags)
    hashFilters(filters)
    if (!isEnabled) return await load()
    return await values.wrap(type, filters, load, { ttlMs, negativeTtlMs }, checked)
  }

  /**
   * 32 hex digits over the filters in any order; no filters equals `{}`.
   * @throws OptionError, ValueError
   */
  hashFilters(filters?: Filters): string {
    return hashFilters(filters)
  }

  /**
   * Invalidates a type with all that depends on it, or a tag: here at once, everywhere when Redis was told.
   * `shared` is false when Redis could not be told yet: it is kept, and told later.
   * @throws OptionError
   */
  async invalidate(target: string | { readonly tag: string }): Promise<{ shared: boolean }> {
    if (typeof target === 'object' && target !== null) {
      if (Array.isArray(target)) {
        throw new OptionError('ERR_OPTION_TYPE', 'target', target, 'one type, or { tag }: call it for each')
      }
      checkNames('', target, ['tag'])
      if (!isTag(target.tag)) throw new OptionError('ERR_TAG_NAME', 'tag', target.tag, TAG_NAME)
      return { shared: await this.#worker.tell([target.tag], 'api') }
    }
    this.#worker.types.check(target)
    return { shared: await this.#worker.tell([typeTag(target)], 'api') }
  }

  /** Invalidates every entry of every type, in both tiers and in all workers. */
  async invalidateAll(): Promise<{ shared: boolean }> {
    return { shared: await this.#worker.tell([ALL], 'api') }
  }

  // --- seeing ---------------------------------------------------------------------------------------------------

  /** Plain data; see `RegistryCacheStats`. */
  stats(): RegistryCacheStats {
    return statsOf(this.#worker.statsParts())
  }

  /** As `stats()` without `epochs`, which take milliseconds to look at where tags are many: for whoever asks often. */
  counts(): RegistryCacheCounts {
    return countsOf(this.#worker.statsParts())
  }

  /** Zeroes the counters and nothing else. */
  resetStats(): void {
    this.#worker.counters.reset()
  }

  /**
   * Entries in this worker's memory, a page at a time. Nothing counts as used because it was looked at.
   * @throws OptionError
   */
  entries(query?: EntryQuery): EntryPage {
    return this.#worker.inspection.entries(query)
  }

  /**
   * Headers and the beginning of the body (64 KiB, or `maxBytes`) of an entry in this worker's memory, or undefined. `key` is
   * the one in Redis, or `TYPE:HASH` as in events.
   * @throws OptionError
   */
  preview(key: string, maxBytes?: number): EntryPreview | undefined {
    return this.#worker.inspection.preview(key, maxBytes)
  }

  /**
   * Removes one entry from this worker's memory and from Redis; other workers keep theirs until it ends. To undo what a
   * write has made wrong, invalidate. `key` as for `preview`.
   * @throws OptionError
   */
  async evict(key: string): Promise<EntryEvicted> {
    return await this.#worker.inspection.evict(key)
  }

  /** What this cache is: types, routes, the epochs that it knows. Plain data, bounded. */
  describe(): CacheDescription {
    return this.#worker.description.describe()
  }

  /**
   * `explain` for a route that `middleware` made, named by its id in `describe()`. Undefined: the one whose last request looks
   * most like this one. The URL is parsed as the application does once that route has met a request.
   * @throws OptionError
   */
  explainRoute(id: string | undefined, request: ExplainRequest): ExplainedRoute {
    return this.#worker.description.explainRoute(id, request)
  }

  /** The workers of the fleet that were started, and this one; without Redis this one alone. Never rejects. */
  async workers(): Promise<FleetView> {
    return await this.#worker.workers()
  }

  /** Counts an error of something that works for this cache, emits it as `error`, and warns once of each code and operation. */
  report(error: TierError): void {
    const { upkeep } = this.#worker
    upkeep.report(error)
    upkeep.warn(error.code, error.message, error.operation)
  }

  on<N extends CacheEventName>(event: N, listener: (...args: CacheEvents[N]) => void): this {
    this.#worker.events.on(event, listener)
    return this
  }

  off<N extends CacheEventName>(event: N, listener: (...args: CacheEvents[N]) => void): this {
    this.#worker.events.off(event, listener)
    return this
  }
}

/** For those who see requests that no middleware of a cache does: the server that it is attached to. */
export const mountingOf: WeakMap<RegistryCache, Mounting> = new WeakMap()

const TAG_NAME = 'a tag of 1 to 512 bytes without control characters and ":@"'

function checkTags(tags: readonly string[] | undefined): readonly string[] {
  return tags === undefined ? [] : checkList('tags', tags, isTag, TAG_NAME, 'ERR_TAG_NAME')
}

/**
 * A cache of its own.
 * @throws OptionError
 */
export function createRegistryCache(options: RegistryCacheOptions = {}): RegistryCache {
  return new RegistryCache(options)
}
