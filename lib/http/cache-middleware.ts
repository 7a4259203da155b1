/*
 * START HERE: one request, top to bottom.
 *
 *   decide   which entry it asks for, or why the cache is left out         decision.ts
 *   find     in memory, nothing to ask: answer at once                     cache/cache.ts, respond.ts
 *   read     in memory after asking Redis for epochs, or in Redis          cache/cache.ts
 *   wait     for another request that is computing it                      cache/flights.ts, cache/fleet.ts
 *   lead     run the handler, watch its answer, store it, tell the others  capture.ts, verdict.ts
 *
 * Every path ends in exactly one `next()` or one answer, and nothing that the cache does fails a request.
 */
import type { Cache, Missed, Stored, Wanted } from '../cache/cache.ts'
import type { Counters, TypeCounters } from '../cache/counters.ts'
import { type Entry, makeEntry } from '../cache/entry.ts'
import type { Fleet } from '../cache/fleet.ts'
import type { Flight, Landing } from '../cache/flights.ts'
import type { Marks } from '../cache/marks.ts'
import type { Clock } from '../cache/tiers.ts'
import type { ErrorCode } from '../errors.ts'
import type { Events, HitTier } from '../events.ts'
import { type CaptureHooks, capture, type Draft, type Ending } from './capture.ts'
import { type Decider, type Decision, identityOf } from './decision.ts'
import {
  type CacheRequest,
  type CacheResponse,
  type Handler,
  isOver,
  type Next,
  notePassage,
  takeCharge,
} from './exchange.ts'
import { COLLAPSED, HIT, label, type Outcome, respond, STALE } from './respond.ts'
import type { RouteOptions } from './route-options.ts'
import { judge, type Verdict } from './verdict.ts'

export interface MiddlewareOptions {
  readonly route: RouteOptions
  readonly decider: Decider
  readonly cache: Cache
  readonly fleet: Fleet
  readonly marks: Marks
  readonly counters: Counters
  readonly events: Events
  readonly clock: Clock
  readonly enabled: boolean
  /** Whether to write Cache-Status and X-Cache. */
  readonly headers: boolean
  readonly warn: (code: ErrorCode, message: string, key: string) => void
  readonly inBackground: (work: Promise<unknown>, reason: string) => void
  /** Something of ours threw: the request goes on without the cache. */
  readonly onDefect: (cause: unknown) => void
}

/** What one request carries through the functions below. */
interface Exchange {
  readonly req: CacheRequest
  readonly res: CacheResponse
  readonly next: Next
  readonly decision: Decision
  readonly startedAtMs: number
  /** Counted already: a request is one hit, one miss or one bypass, however often it has to look. */
  isCounted: boolean
  isPassed: boolean
}

export class CacheMiddleware {
  readonly #options: MiddlewareOptions
  readonly #typeCounters: TypeCounters

  constructor(options: MiddlewareOptions) {
    this.#options = options
    this.#typeCounters = options.counters.of(options.route.type)
  }

  readonly handle: Handler = (req, res, next) => {
    const { route, decider, cache, clock, enabled } = this.#options
    if (!enabled) return next()
    notePassage(req, route.type)
    if (req.method !== 'GET' && req.method !== 'HEAD') return next()
    if (!takeCharge(res)) {
      this.#options.warn(
        'ERR_CACHE_TWICE',
        `two cache middlewares on ${req.baseUrl ?? ''}: the outer one rules`,
        req.baseUrl ?? '',
      )
      return next()
    }
    const decision = decider.decide(req)
    if (typeof decision === 'string') return this.#bypass(res, next, decision)
    const exchange: Exchange = {
      req,
      res,
      next,
      decision,
      startedAtMs: clock.monotonic(),
      isCounted: false,
      isPassed: false,
    }
    if (!decision.refresh) {
      const entry = cache.find(decision.wanted)
      if (entry !== undefined) {
        if (exchange.startedAtMs < entry.staleAtMs) return this.#hit(exchange, entry, 'memory')
        if (this.#mayServeStale(exchange, entry) && this.#isFlying(decision, cache.missedAsKnown(decision.wanted))) {
          return this.#hit(exchange, entry, 'memory', STALE)
        }
      }
    }
    this.#look(exchange).catch((cause: unknown) => {
      this.#options.onDefect(cause)
      this.#pass(exchange)
    })
  }

  /** Hands the request on, once. */
  #pass(exchange: Exchange): void {
    if (exchange.isPassed || isOver(exchange.res)) return
    exchange.isPassed = true
    exchange.next()
  }

  // --- without the cache ------------------------------------------------------------------------------------------

  #bypass(res: CacheResponse, next: Next, reason: string): void {
    const { route, counters, events, headers } = this.#options
    counters.bypass(route.type, reason)
    if (events.has('bypass')) events.emit('bypass', { type: route.type, reason })
    if (headers) label(res, { xCache: 'BYPASS', status: `fwd=bypass; detail=${reason}` })
    next()
  }

  // --- looking ----------------------------------------------------------------------------------------------------

  async #look(exchange: Exchange): Promise<void> {
    const { cache, route, marks, clock } = this.#options
    const { decision, res } = exchange
    const { wanted } = decision
    for (let waits = 0; ; waits++) {
      const deadline = cache.deadline()
      const reading = decision.refresh ? await cache.stampsNow(wanted, deadline) : await cache.read(wanted, deadline)
      if (isOver(res)) return
      if ('entry' in reading) return this.#hit(exchange, reading.entry, reading.tier)
      if (reading.isDown && reading.reach === 'none') return this.#bypass(res, () => this.#pass(exchange), 'redis-down')
      if (decision.onlyIfCached) return this.#gatewayTimeout(exchange)
      const key = `${route.type}:${reading.hash}`
      if (waits > 1 || !this.#mayFly(exchange, reading, key)) return await this.#lead(exchange, reading, undefined)
      const { flights } = cache.options
      const flight = flights.find(key, reading.stamps)
      if (flight === undefined) return await this.#lead(exchange, reading, flights.lead(key, reading.stamps))
      if (reading.stale && this.#mayServeStale(exchange, reading.stale)) {
        return this.#hit(exchange, reading.stale, 'memory', STALE)
      }
      const landing = await flight.landed
      if (isOver(res)) return
      if (landing.kind === 'unshareable') marks.set(key)
      if (landing.kind === 'answered' && this.#isFor(wanted, landing.entry, landing.variant)) {
        this.#typeCounters.coalesced++
        this.#count(exchange, 'misses', true)
        respond(exchange.req, res, landing.entry, COLLAPSED, clock.monotonic(), this.#options.headers)
        return
      }
    }
  }

  /** Joining or leading a flight is for those who may share an entry and know what is current. */
  #mayFly(exchange: Exchange, missed: Missed, key: string): boolean {
    const { decision, req } = exchange
    const isOwn = decision.credential !== undefined || decision.noStore || decision.refresh
    return !isOwn && missed.reach !== 'none' && req.method === 'GET' && !this.#options.marks.has(key)
  }

  #isFlying(decision: Decision, missed: Missed): boolean {
    const { flights } = this.#options.cache.options
    return flights.find(`${decision.wanted.type}:${missed.hash}`, missed.stamps) !== undefined
  }

  /** Only when it has landed is it known by which headers answers vary: it is for those with the leader's values. */
  #isFor(wanted: Wanted, entry: Entry, variant: string | undefined): boolean {
    if (wanted.accepts && !wanted.accepts(entry)) return false
    return entry.vary.length === 0 || variant === wanted.variant?.(entry.vary)
  }

  #mayServeStale(exchange: Exchange, entry: Entry): boolean {
    const nowMs = this.#options.clock.monotonic()
    return exchange.req.method === 'GET' && nowMs < entry.staleAtMs + entry.staleWhileRevalidateMs
  }

  // --- answering from the cache -----------------------------------------------------------------------------------

  #hit(exchange: Exchange, entry: Entry, tier: HitTier, outcome: Outcome = HIT): void {
    const { clock, events, headers, route } = this.#options
    const { req, res } = exchange
    this.#count(exchange, 'hits', false)
    if (outcome === STALE) this.#typeCounters.stale++
    const nowMs = clock.monotonic()
    const { status, bytes } = respond(req, res, entry, outcome, nowMs, headers)
    const name = outcome === STALE ? 'stale' : 'hit'
    if (!events.has(name)) return
    events.emit(name, {
      type: route.type,
      key: `${route.type}:${exchange.decision.wanted.hash}`,
      tier,
      ageMs: nowMs - entry.storedAtMs,
      method: req.method ?? 'GET',
      url: req.originalUrl ?? req.url ?? '',
      status,
      bytes,
      durationMs: clock.monotonic() - exchange.startedAtMs,
      via: 'route',
    })
  }

  #gatewayTimeout(exchange: Exchange): void {
    this.#count(exchange, 'misses', false)
    const { res } = exchange
    if (this.#options.headers) label(res, { xCache: 'MISS', status: 'fwd=request; detail=only-if-cached' })
    res.statusCode = 504
    res.end()
  }

  #count(exchange: Exchange, what: 'hits' | 'misses', collapsed: boolean): void {
    if (exchange.isCounted) return
    exchange.isCounted = true
    const { events, route } = this.#options
    this.#typeCounters[what]++
    if (what === 'misses' && events.has('miss')) {
      events.emit('miss', { type: route.type, key: `${route.type}:${exchange.decision.wanted.hash}`, collapsed })
    }
  }

  // --- running the handler ----------------------------------------------------------------------------------------

  async #lead(exchange: Exchange, missed: Missed, flight: Flight | undefined): Promise<void> {
    const { cache, fleet } = this.#options
    const { req, res, decision } = exchange
    const turn = flight ? await fleet.turn(decision.wanted, missed) : undefined
    if (turn?.entry) {
      flight?.land(answered(turn.entry, decision.wanted))
      if (!isOver(res)) this.#hit(exchange, turn.entry, 'redis')
      return
    }
    if (isOver(res)) {
      flight?.land({ kind: 'abandoned' })
      turn?.done()
      return
    }
    if (decision.credential === undefined) this.#count(exchange, 'misses', false)
    else this.#countBypass(decision.credential)
    if (req.method === 'HEAD') {
      if (this.#options.headers) label(res, this.#forwarded(exchange, undefined))
      return this.#pass(exchange)
    }
    if (flight) cache.options.flights.handlerStarted(flight)
    capture(req, res, this.#hooks(exchange, missed, flight, turn?.done))
    this.#pass(exchange)
  }

  #countBypass(credential: string): void {
    const { counters, route, events, warn } = this.#options
    counters.bypass(route.type, credential)
    if (events.has('bypass')) events.emit('bypass', { type: route.type, reason: credential })
    warn(
      'ERR_SCOPE_MISSING',
      `requests for ${route.type} carry ${credential}, and the route has no scope: they bypass the cache. ` +
        "Say who may share an entry: scope: 'public', or scope: (req) => req.user.tenant",
      route.type,
    )
  }

  #hooks(exchange: Exchange, missed: Missed, flight: Flight | undefined, done: (() => void) | undefined): CaptureHooks {
    const { headers } = this.#options
    const { res, decision } = exchange
    const { stale } = missed
    const nowMs = this.#options.clock.monotonic()
    const standIn = stale && nowMs < stale.staleAtMs + stale.staleIfErrorMs ? stale : undefined
    return {
      onHead: (draft) => {
        if (headers) label(res, this.#forwarded(exchange, draft))
      },
      onEnd: (ending) => this.#conclude(exchange, missed, flight, done, ending),
      onServerError:
        standIn &&
        ((restore) => {
          restore()
          flight?.land(answered(standIn, decision.wanted))
          done?.()
          if (decision.credential === undefined) this.#typeCounters.stale++
          respond(exchange.req, res, standIn, STALE_IF_ERROR, this.#options.clock.monotonic(), headers)
          return true
        }),
    }
  }

  #conclude(
    exchange: Exchange,
    missed: Missed,
    flight: Flight | undefined,
    done: (() => void) | undefined,
    ending: Ending,
  ): void {
    const { cache, marks, counters, route, clock, inBackground } = this.#options
    const { wanted } = exchange.decision
    const key = `${route.type}:${missed.hash}`
    if (ending.kind !== 'draft') {
      const isAborted = ending.kind === 'aborted'
      flight?.land({ kind: isAborted ? 'abandoned' : 'unshareable' })
      if (!isAborted && flight) marks.set(key)
      this.#noteStored(exchange, missed, 'none', isAborted ? 'aborted' : 'not-captured', 0, 0)
      done?.()
      return
    }
    const verdict = this.#judge(exchange, ending.draft, ending.setsCookie, ending.encodedBehindUs)
    const { content } = verdict
    const stored: Stored =
      verdict.reason === undefined
        ? cache.store(wanted, missed, content)
        : { tiers: 'none', reason: verdict.reason, entry: makeEntry(content, missed.stamps, clock.monotonic()) }
    flight?.land(verdict.mayShare ? answered(stored.entry, wanted) : { kind: 'unshareable' })
    if (stored.tiers !== 'none') marks.delete(key)
    else if (!verdict.mayShare && flight) marks.set(key)
    if (stored.tiers === 'none') counters.notStoredFor(stored.reason)
    // The lock goes after the entry is there, or those who wait for it would compute it again.
    if (done && stored.tiers === 'both') inBackground(stored.written.then(done), 'unlock')
    else done?.()
    const reason = stored.tiers === 'none' ? stored.reason : undefined
    this.#noteStored(exchange, missed, stored.tiers, reason, content.body.byteLength, content.ttlMs)
  }

  #judge(exchange: Exchange, draft: Draft, setsCookie: boolean, encodedBehindUs: boolean): Verdict {
    const { route, clock, warn } = this.#options
    const { req, decision } = exchange
    const hasLateUser = route.scope === undefined && decision.credential === undefined && identityOf(req) !== undefined
    if (hasLateUser) {
      warn(
        'ERR_CACHE_BEFORE_AUTH',
        `the cache of ${route.type} is mounted before authentication: it can not tell callers apart. Mount it after`,
        route.type,
      )
    }
    if (encodedBehindUs) {
      warn(
        'ERR_COMPRESSION_BEHIND',
        `compression runs between the cache of ${route.type} and its handler: nothing is stored. Mount it before the cache`,
        route.type,
      )
    }
    return judge(draft, route, {
      credential: decision.credential,
      hasLateUser,
      setsCookie,
      encodedBehindUs,
      requestNoStore: decision.noStore,
      nowMs: clock.now(),
      random: route.jitter === 0 ? 0 : Math.random(),
    })
  }

  /** What Cache-Status says of an answer that the handler made. */
  #forwarded(exchange: Exchange, draft: Draft | undefined): Outcome {
    const { decision } = exchange
    const how = decision.refresh ? 'fwd=request' : 'fwd=uri-miss'
    const verdict = draft && this.#judge(exchange, draft, exchange.res.getHeader('Set-Cookie') !== undefined, false)
    if (decision.credential !== undefined && verdict?.reason !== undefined) {
      return { xCache: 'BYPASS', status: `fwd=bypass; detail=${decision.credential}` }
    }
    if (verdict === undefined) return { xCache: 'MISS', status: how }
    return {
      xCache: 'MISS',
      status: verdict.reason === undefined ? `${how}; stored` : `${how}; detail=${verdict.reason}`,
    }
  }

  #noteStored(
    exchange: Exchange,
    missed: Missed,
    tiers: 'both' | 'memory' | 'none',
    reason: string | undefined,
    bytes: number,
    ttlMs: number,
  ): void {
    const { events, route, clock } = this.#options
    if (tiers !== 'none') this.#typeCounters.stores++
    if (!events.has('store')) return
    events.emit('store', {
      type: route.type,
      key: `${route.type}:${exchange.decision.wanted.hash}`,
      tiers,
      ...(reason === undefined ? {} : { reason }),
      bytes,
      ttlMs,
      handlerMs: clock.monotonic() - missed.began.atMs,
    })
  }
}

const STALE_IF_ERROR: Outcome = { xCache: 'STALE', status: 'hit; detail=stale-if-error' }

function answered(entry: Entry, wanted: Wanted): Landing {
  return { kind: 'answered', entry, variant: entry.vary.length > 0 ? wanted.variant?.(entry.vary) : undefined }
}
