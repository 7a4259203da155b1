/*
 * The composition root: the only file that constructs things. A RegistryCache is the facade over one worker's cache.
 */
import { randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { Cache } from './cache/cache.ts'
import { Counters } from './cache/counters.ts'
import type { Entry } from './cache/entry.ts'
import { Epochs } from './cache/epochs.ts'
import { Fleet } from './cache/fleet.ts'
import { Flights } from './cache/flights.ts'
import { Marks } from './cache/marks.ts'
import { isTag, isType } from './cache/names.ts'
import { Questions } from './cache/questions.ts'
import { Raises } from './cache/raises.ts'
import { ALL, typeTag } from './cache/reading.ts'
import { type Filters, hashFilters, Values } from './cache/values.ts'
import { checkFunction, checkList, checkNames, checkNumber, closest, refuseRequest } from './check.ts'
import { type CacheDescription, Description, type ExplainedRoute, type ExplainRequest } from './description.ts'
import { OptionError, type TierError } from './errors.ts'
import { type CacheEventName, type CacheEvents, Events } from './events.ts'
import { CacheMiddleware } from './http/cache-middleware.ts'
import { Compressor } from './http/compress.ts'
import { Decider } from './http/decision.ts'
import type { CacheRequest, Handler } from './http/exchange.ts'
import { type Explanation, explain } from './http/explain.ts'
import { FrontDoor, type FrontRoute } from './http/front-door.ts'
import { countHit } from './http/hit.ts'
import {
  type InvalidateOnDeps,
  type InvalidateOnOptions,
  makeInvalidateOn,
  resolveInvalidateOn,
} from './http/invalidate-on.ts'
import { Mounting, markMounted } from './http/mounting.ts'
import type { RouteContext } from './http/route-context.ts'
import { type CacheMiddlewareOptions, type RouteOptions, resolveRouteOptions } from './http/route-options.ts'
import { makeSeen } from './http/seen.ts'
import { type EntryEvicted, type EntryPage, type EntryPreview, type EntryQuery, Inspection } from './inspection.ts'
import {
  dependents,
  looksLikeMilliseconds,
  type RegistryCacheOptions,
  type ResolvedOptions,
  resolveOptions,
  TTL,
  TYPE_NAME,
} from './options.ts'
import { checkClient, checkMode, warnUnreachable } from './startup-checks.ts'
import { countsOf, type RegistryCacheCounts, type RegistryCacheStats, type StatsParts, statsOf } from './stats.ts'
import type { FleetView, FleetWorker } from './tiers/fleet-view.ts'
import { Heartbeats } from './tiers/heartbeats.ts'
import { Memory } from './tiers/memory.ts'
import { Memos } from './tiers/memos.ts'
import { RedisTier } from './tiers/redis.ts'
import { Subscriber } from './tiers/subscriber.ts'
import { Upkeep } from './upkeep.ts'
import { ownWorker } from './workers.ts'

/** A cache middleware; it knows its type, so `invalidateOn` made from it needs none. */
export interface RegistryCacheMiddleware extends Handler {
  invalidateOn(options: InvalidateOnOptions): Handler
  invalidateOn(...methods: string[]): Handler
}

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
  readonly #options: ResolvedOptions
  readonly #cache: Cache
  readonly #epochs: Epochs
  readonly #raises: Raises
  readonly #memory: Memory
  readonly #memos: Memos
  readonly #redis: RedisTier | undefined
  readonly #subscriber: Subscriber | undefined
  readonly #heartbeats: Heartbeats | undefined
  readonly #fleet: Fleet
  readonly #values: Values
  readonly #marks: Marks
  readonly #compressor: Compressor
  readonly #frontDoor: FrontDoor
  readonly #counters = new Counters()
  readonly #events = new Events()
  readonly #upkeep: Upkeep
  readonly #mounting: Mounting
  readonly #inspection: Inspection
  readonly #description: Description
  readonly #workerId = randomBytes(6).toString('hex')
  #longestTtlMs: number
  readonly #self: () => FleetWorker
  #routes = 0
  #starts = 0

  /** @throws OptionError */
  constructor(options: RegistryCacheOptions = {}) {
    const resolved = resolveOptions(options)
    this.#options = resolved
    const { clock, redis: client, redisTimeoutMs } = resolved
    this.#longestTtlMs = Math.max(resolved.defaultTtlMs, ...[...resolved.types.values()].map(({ ttlMs }) => ttlMs))
    this.#upkeep = new Upkeep({ ...resolved, counters: this.#counters, events: this.#events })
    this.#checkUnit('defaultTtl', resolved.defaultTtlMs)
    for (const [type, { ttlMs }] of resolved.types) {
      if (ttlMs !== resolved.defaultTtlMs) this.#checkUnit(`the TTL of ${type}`, ttlMs)
    }
    this.#checkUnit('maxStaleness', resolved.maxStalenessMs)
    const { inBackground, report: onError } = this.#upkeep
    const longestTtlMs = (): number => this.#longestTtlMs
    this.#memory = new Memory(resolved.memory, clock, (type, hash, bytes) => {
      this.#counters.of(type).evictions++
      if (this.#events.has('evict')) this.#events.emit('evict', { type, key: `${type}:${hash}`, bytes })
    })
    this.#memos = new Memos(this.#memory, resolved.memory.maxBytes)
    const { prefix, breaker } = resolved
    const workerId = this.#workerId
    this.#redis =
      client &&
      new RedisTier({
        client,
        clock,
        prefix,
        workerId,
        breaker,
        redisTimeoutMs,
        longestTtlMs,
        sweepForeignKeys: resolved.sweepForeignKeys,
        recover: () => this.#recover(),
        onChange: (up, reason) => this.#redisChanged(up, reason),
        onError: (error) => {
          checkMode(client, this.#upkeep.warn, error.message)
          onError(error)
        },
        inBackground,
      })
    const shared = this.#redis
    this.#epochs = new Epochs({
      clock,
      shared,
      maxRecords: Math.max(1000, 2 * resolved.memory.maxEntries),
      onRaise: (tag, cause, worker, own) => this.#raised(tag, cause, worker, own),
      onLost: (tag) => this.#raises.repair(tag),
      workerId,
    })
    const epochs = this.#epochs
    this.#raises = new Raises({
      epochs,
      shared,
      clock,
      redisTimeoutMs,
      retryMs: breaker.probeEveryMs,
      longestTtlMs,
      inBackground,
    })
    const raises = this.#raises
    const questions =
      shared &&
      new Questions({ epochs, shared, clock, redisTimeoutMs, defer: (run) => void setImmediate(run), inBackground })
    this.#subscriber =
      client &&
      shared &&
      new Subscriber({
        client,
        channel: shared.channel,
        space: shared.space,
        clock,
        epochs,
        raises,
        onError,
        onChange: () => this.#heartbeats?.beat(),
      })
    this.#cache = new Cache({
      clock,
      memory: this.#memory,
      shared,
      epochs,
      raises,
      questions,
      flights: new Flights(clock, resolved.lockTtlMs || FOLLOWERS_WAIT_MS),
      counters: this.#counters,
      whenRedisIsDown: resolved.whenRedisIsDown,
      redisTimeoutMs,
      dependentsOf: dependents(resolved.types),
      inBackground,
      onError: this.#upkeep.failed,
    })
    this.#fleet = new Fleet(this.#cache, resolved.lockTtlMs)
    this.#marks = new Marks(clock)
    const onGrown = (type: string, entry: Entry, bytes: number): void => this.#memory.grow(type, entry, bytes)
    this.#frontDoor = new FrontDoor({
      cache: this.#cache,
      headers: resolved.headers,
      maxBytes: resolved.memory.maxBytes,
      account: (bytes) => this.#memory.account(bytes),
      onGrown,
    })
    this.#compressor = new Compressor({ inBackground, onGrown })
    this.#values = new Values({
      cache: this.#cache,
      fleet: this.#fleet,
      counters: this.#counters,
      events: this.#events,
      maxStalenessMs: (type) => this.#maxStalenessMs(type),
    })
    this.#inspection = new Inspection({ prefix, cache: this.#cache, memory: this.#memory, redis: shared })
    this.#mounting = new Mounting((type, route) =>
      this.#upkeep.warn(
        'ERR_CACHE_AFTER_ROUTE',
        `the cache of ${type} is mounted behind the route ${route}, which answers before it is reached: mount it before`,
        `${type} ${route}`,
      ),
    )
    mountingOf.set(this, this.#mounting)
    this.#description = new Description(resolved, this.#cache, workerId)
    const startedAtMs = clock.now()
    this.#self = () => ownWorker(workerId, startedAtMs, this.stats())
    const { warn } = this.#upkeep
    this.#heartbeats =
      client &&
      shared &&
      new Heartbeats({
        client,
        redis: shared,
        prefix,
        workerId,
        clock,
        redisTimeoutMs,
        own: this.#self,
        warn,
        inBackground,
      })
  }

  // --- life -----------------------------------------------------------------------------------------------------

  /** Attaches the subscriber. Idempotent, also after `stop`; resolves when Redis is down too, and keeps trying. Never rejects. */
  async start(): Promise<void> {
    if (!this.#options.enabled) return
    this.#starts++
    const { redis: client } = this.#options
    if (client) checkClient(client, this.#upkeep.warn)
    this.#redis?.start()
    this.#heartbeats?.start()
    await this.#subscriber?.start()
    if (client && !this.#subscriber?.isLive && client.status !== 'wait') this.#checkReached('no connection yet')
  }

  /** Detaches everything: no timer, socket or listener of ours is left. Idempotent, safe before `start`, bounded in time. */
  async stop(): Promise<void> {
    const starts = this.#starts
    this.#events.emit('stop', { worker: this.#workerId })
    this.#upkeep.runPutOff()
    // Once more, though Redis be left alone: it may be back, and nobody would tell it later.
    if (this.#epochs.pendingRaises > 0) await this.#raises.tellPending(true)
    await this.#heartbeats?.stop()
    await this.#upkeep.settled()
    // Started again while this waited, by a server that came as the last one went: the later call counts.
    if (this.#starts !== starts) return
    this.#raises.stop()
    this.#subscriber?.stop()
    this.#redis?.stop()
  }

  // --- Express --------------------------------------------------------------------------------------------------

  /**
   * A middleware that answers GET and HEAD from the cache and fills it on a miss.
   * @throws OptionError
   */
  middleware(options: CacheMiddlewareOptions): RegistryCacheMiddleware {
    // Before `this` is used: mounted itself, it has none.
    refuseRequest('', options)
    const route = this.#route(options)
    this.#checkTypo(route.type)
    if (options.ttl !== undefined) this.#checkUnit(`the TTL of ${route.type}`, route.ttlMs)
    this.#noteLife(route.ttlMs + Math.max(route.staleWhileRevalidateMs, route.staleIfErrorMs))
    const { clock, enabled, headers } = this.#options
    const name = `${route.type} ${++this.#routes}`
    const { failed: onError, warn, inBackground } = this.#upkeep
    const decider = new Decider({
      route,
      clock,
      memo: this.#memos.make(),
      onError,
      onBadScope: (received) =>
        this.#upkeep.warn(
          'ERR_SCOPE_VALUE',
          `scope of ${route.type} gave ${received === '' ? 'an empty string' : `something of type ${typeof received}`}: give a string of at ` +
            'least one character, or undefined to bypass; a promise is not waited for',
          name,
        ),
    })
    const compressor = route.compress ? this.#compressor : undefined
    const front: FrontRoute | undefined = route.front && {
      door: this.#frontDoor,
      route,
      decider,
      compressor,
      onHit: (hit) => countHit(context, hit),
      onDefect: (cause) => context.onDefect(cause),
    }
    const seen = makeSeen()
    this.#description.add(name, route, seen)
    const context: RouteContext = {
      route,
      name,
      seen,
      front,
      decider,
      cache: this.#cache,
      fleet: this.#fleet,
      marks: this.#marks,
      counters: this.#counters,
      events: this.#events,
      clock,
      enabled,
      compressor,
      headers,
      warn,
      checkSubscriber: () => this.#checkSubscriber(),
      inBackground,
      onDefect: (cause) => onError('ERR_CALLBACK_THREW', 'request', String(cause), cause),
    }
    const { handle } = new CacheMiddleware(context)
    const middleware: Handler = function registryCache(req, res, next) {
      handle(req, res, next)
    }
    const invalidateOn = (first?: string | InvalidateOnOptions, ...rest: string[]): Handler =>
      this.#invalidateOn(first, rest, [route.type])
    markMounted(middleware, route.type, () => seen.app !== undefined)
    return Object.assign(middleware, { invalidateOn })
  }

  /**
   * A middleware that invalidates after a mutation and before its client sees the end of the answer.
   * @throws OptionError
   */
  invalidateOn(options: InvalidateOnOptions): Handler
  invalidateOn(...methods: string[]): Handler
  invalidateOn(first?: string | InvalidateOnOptions, ...rest: string[]): Handler {
    refuseRequest('', first)
    return this.#invalidateOn(first, rest, undefined)
  }

  #invalidateOn(
    first: string | InvalidateOnOptions | undefined,
    rest: readonly string[],
    ownTypes: readonly string[] | undefined,
  ): Handler {
    const options = resolveInvalidateOn(first, rest)
    for (const type of options.types ?? []) this.#checkTypo(type)
    const { warn } = this.#upkeep
    const deps: InvalidateOnDeps = {
      invalidate: (tags, cause) => this.#tell(tags, cause),
      invalidations: () => this.#counters.invalidations,
      watch: this.#options.enabled ? this.#mounting.watch : undefined,
      warn,
      typeTag,
      later: this.#upkeep.later,
      onError: this.#upkeep.failed,
    }
    return makeInvalidateOn({ ...options, types: options.types ?? ownTypes }, () => deps)
  }

  /**
   * The decision for a request, as data: what a middleware with these options would do with it now, and why. Looks at this
   * worker's memory only, and changes nothing. `req` is Express' own, or an object with `method`, `path`, `query` and
   * `headers`.
   * @throws OptionError
   */
  explain(req: CacheRequest, options: CacheMiddlewareOptions): Explanation {
    const route = this.#route(options)
    const nothing = (): void => {}
    const { clock, prefix } = this.#options
    const decider = new Decider({ route, clock, memo: undefined, onError: nothing, onBadScope: nothing })
    return explain(req, route, decider, this.#cache, (type, hash) => `${prefix}registry:${type}:${hash}`)
  }

  /**
   * A request listener for `http.createServer` (or https) that answers hits of routes marked `front: true` before Express
   * is entered, and hands everything else to `app`. On such hits no middleware runs; a `hit` event with `via: 'front'`
   * serves logs.
   * @throws OptionError when `app` is no function
   */
  front(app: (req: never, res: never) => unknown): RequestListener {
    if (typeof app !== 'function') {
      throw new OptionError('ERR_OPTION_TYPE', 'app', app, 'an Express app, or another request listener')
    }
    return this.#options.enabled ? this.#frontDoor.listener(app) : (app as RequestListener)
  }

  #route(options: CacheMiddlewareOptions): RouteOptions {
    return resolveRouteOptions(options, (type) => ({
      ttlMs: this.#ttlMs(type),
      maxStalenessMs: this.#maxStalenessMs(type),
    }))
  }

  // --- values ---------------------------------------------------------------------------------------------------

  /**
   * The value, a fresh copy, or undefined.
   * @throws OptionError, ValueError
   */
  async get(type: string, filters?: Filters): Promise<unknown> {
    this.#checkType(type)
    hashFilters(filters)
    return this.#options.enabled ? await this.#values.get(type, filters) : undefined
  }

  /**
   * Stores a JSON value in both tiers. A value that was computed before an invalidation that this worker has not heard of
   * yet is stored all the same: prefer `wrap`, which stamps it when its computation begins.
   * @throws OptionError, ValueError
   */
  async set(type: string, value: unknown, filters?: Filters, options: SetOptions = {}): Promise<void> {
    this.#checkType(type)
    checkNames('options', options, ['ttl', 'tags'])
    const ttlMs = this.#givenTtlMs('ttl', options.ttl, this.#ttlMs(type))
    const tags = checkTags(options.tags)
    hashFilters(filters)
    if (this.#options.enabled) await this.#values.set(type, value, filters, ttlMs, tags)
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
    this.#checkType(type)
    if (checkFunction('load', load) === undefined) {
      throw new OptionError('ERR_OPTION_MISSING', 'load', load, 'a function')
    }
    checkNames('options', options, ['ttl', 'negativeTtl', 'tags'])
    const ttlMs = this.#givenTtlMs('ttl', options.ttl, this.#ttlMs(type))
    const negativeTtlMs = this.#givenTtlMs('negativeTtl', options.negativeTtl, ttlMs)
    const { tags } = options
    const checked = typeof tags === 'function' ? tags : checkTags(tags)
    hashFilters(filters)
    if (!this.#options.enabled) return await load()
    return await this.#values.wrap(type, filters, load, { ttlMs, negativeTtlMs }, checked)
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
      return { shared: await this.#tell([target.tag], 'api') }
    }
    this.#checkType(target)
    return { shared: await this.#tell([typeTag(target)], 'api') }
  }

  /** Invalidates every entry of every type, in both tiers and in all workers. */
  async invalidateAll(): Promise<{ shared: boolean }> {
    return { shared: await this.#tell([ALL], 'api') }
  }

  // --- seeing ---------------------------------------------------------------------------------------------------

  /** Plain data; see `RegistryCacheStats`. */
  stats(): RegistryCacheStats {
    return statsOf(this.#statsParts())
  }

  /** As `stats()` without `epochs`, which take milliseconds to look at where tags are many: for whoever asks often. */
  counts(): RegistryCacheCounts {
    return countsOf(this.#statsParts())
  }

  #statsParts(): StatsParts {
    return {
      options: this.#options,
      counters: this.#counters,
      memory: this.#memory,
      redis: this.#redis,
      subscriber: this.#subscriber,
      epochs: this.#epochs,
    }
  }

  /** Zeroes the counters and nothing else. */
  resetStats(): void {
    this.#counters.reset()
  }

  /**
   * Entries in this worker's memory, a page at a time. Nothing counts as used because it was looked at.
   * @throws OptionError
   */
  entries(query?: EntryQuery): EntryPage {
    return this.#inspection.entries(query)
  }

  /**
   * Headers and the beginning of the body (64 KiB, or `maxBytes`) of an entry in this worker's memory, or undefined. `key` is
   * the one in Redis, or `TYPE:HASH` as in events.
   * @throws OptionError
   */
  preview(key: string, maxBytes?: number): EntryPreview | undefined {
    return this.#inspection.preview(key, maxBytes)
  }

  /**
   * Removes one entry from this worker's memory and from Redis; other workers keep theirs until it ends. To undo what a
   * write has made wrong, invalidate. `key` as for `preview`.
   * @throws OptionError
   */
  async evict(key: string): Promise<EntryEvicted> {
    return await this.#inspection.evict(key)
  }

  /** What this cache is: types, routes, the epochs that it knows. Plain data, bounded. */
  describe(): CacheDescription {
    return this.#description.describe()
  }

  /**
   * `explain` for a route that `middleware` made, named by its id in `describe()`. Undefined: the one whose last request looks
   * most like this one. The URL is parsed as the application does once that route has met a request.
   * @throws OptionError
   */
  explainRoute(id: string | undefined, request: ExplainRequest): ExplainedRoute {
    return this.#description.explainRoute(id, request)
  }

  /** The workers of the fleet that were started, and this one; without Redis this one alone. Never rejects. */
  async workers(): Promise<FleetView> {
    return (await this.#heartbeats?.workers()) ?? { known: true, workers: [this.#self()] }
  }

  /** Counts an error of something that works for this cache, emits it as `error`, and warns once of each code and operation. */
  report(error: TierError): void {
    this.#upkeep.report(error)
    this.#upkeep.warn(error.code, error.message, error.operation)
  }

  on<N extends CacheEventName>(event: N, listener: (...args: CacheEvents[N]) => void): this {
    this.#events.on(event, listener)
    return this
  }

  off<N extends CacheEventName>(event: N, listener: (...args: CacheEvents[N]) => void): this {
    this.#events.off(event, listener)
    return this
  }

  // --- inside ---------------------------------------------------------------------------------------------------

  async #tell(tags: readonly string[], cause: string): Promise<boolean> {
    this.#counters.invalidations += tags.length
    const told = await this.#cache.invalidate(tags, cause)
    return told
  }

  /** In this order: what we owe Redis, the subscription, what Redis may have lost. Only then is it believed. */
  async #recover(): Promise<boolean> {
    if (!(await this.#raises.tellPending(true))) return false
    await this.#subscriber?.live(this.#options.redisTimeoutMs)
    return await this.#raises.verifyRecent()
  }

  #redisChanged(up: boolean, reason: string): void {
    if (this.#events.has('redis')) this.#events.emit('redis', { up, reason })
    if (up) this.#options.logger?.info(`express-registry-cache: Redis is used again (${reason})`)
    else if (!this.#checkReached(reason)) {
      this.#upkeep.warn('ERR_REDIS_UNAVAILABLE', `Redis is left alone for now: ${reason}`, 'redis')
    }
    if (!up) return
    this.#upkeep.unsay('ERR_REDIS_UNAVAILABLE', 'redis')
    this.#heartbeats?.beat()
  }

  /** True when it has warned that there was no connection ever. */
  #checkReached(reason: string): boolean {
    const { redis: client } = this.#options
    if (!client || this.#redis?.hasConnected) return false
    warnUnreachable(client, reason, this.#upkeep.warn)
    return true
  }

  #raised(tag: string, cause: string, worker: string, own: boolean): void {
    if (!own || cause === 'foreign') this.#counters.invalidations++
    this.#counters.raised(cause, own)
    if (tag === ALL) this.#memory.clear()
    else if (tag.startsWith(ALL)) {
      const type = tag.slice(ALL.length)
      this.#memory.clear(type)
      if (isType(type)) this.#counters.of(type).invalidations++
    }
    if (this.#events.has('invalidate')) this.#events.emit('invalidate', { tag, cause, worker, own })
  }

  /** Right without it, but each hit asks Redis first: most likely it was forgotten. */
  #checkSubscriber(): void {
    if (!this.#subscriber || this.#subscriber.isStarted) return
    const cure = 'call attachSubscriber(server), or cache.start(), once at start-up'
    this.#upkeep.warn('ERR_SUBSCRIBER_NOT_STARTED', `Redis is given, but nobody listens for invalidations: ${cure}`, '')
  }

  #checkType(type: unknown): asserts type is string {
    if (!isType(type)) throw new OptionError('ERR_TYPE_NAME', 'type', type, TYPE_NAME)
    this.#checkTypo(type)
  }

  #checkTypo(type: string): void {
    const { types } = this.#options
    if (types.has(type)) return
    const close = closest(type, [...types.keys()])
    if (close)
      this.#upkeep.warn(
        'ERR_TYPE_TYPO',
        `type ${JSON.stringify(type)} is not known: did you mean ${JSON.stringify(close)}?`,
        type,
      )
  }

  #ttlMs(type: string): number {
    return this.#options.types.get(type)?.ttlMs ?? this.#options.defaultTtlMs
  }

  #maxStalenessMs(type: string): number {
    return this.#options.types.get(type)?.maxStalenessMs ?? this.#options.maxStalenessMs
  }

  #givenTtlMs(option: string, seconds: number | undefined, fallbackMs: number): number {
    const ttlMs = checkNumber(option, seconds, TTL, fallbackMs / 1000) * 1000
    if (seconds !== undefined) this.#checkUnit(option, ttlMs)
    this.#noteLife(ttlMs)
    return ttlMs
  }

  #checkUnit(name: string, ms: number): void {
    const seconds = ms / 1000
    if (!looksLikeMilliseconds(seconds)) return
    const meant = `${name} is ${seconds} seconds, which is ${(seconds / 3600).toFixed(1)} hours: were milliseconds meant?`
    this.#upkeep.warn('ERR_TTL_MILLISECONDS', `${meant} Durations are in seconds: ${seconds / 1000}`, name)
  }

  /** Epochs must outlive entries: the longest life that was asked for counts. */
  #noteLife(ms: number): void {
    this.#longestTtlMs = Math.max(this.#longestTtlMs, ms)
  }
}

/** For those who see requests that no middleware of a cache does: the server that it is attached to. */
export const mountingOf: WeakMap<RegistryCache, Mounting> = new WeakMap()

/** How long followers wait for a silent handler where no lock's life says so. */
const FOLLOWERS_WAIT_MS = 5000
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
