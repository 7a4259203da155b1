/*
 * START HERE: one request, top to bottom.
 *
 *   decide   which entry it asks for, or why the cache is left out         decision.ts
 *   find     in memory, nothing to ask: answer at once                     cache/local.ts, respond.ts
 *   read     in memory after asking Redis for epochs, or in Redis          cache/cache.ts
 *   wait     for another request that is computing it                      cache/flights.ts, cache/fleet.ts
 *   lead     run the handler, watch its answer, store it, tell the others  fill.ts, capture.ts, draft.ts, verdict.ts
 *
 * Every path ends in exactly one `next()` or one answer, and nothing that the cache does fails a request.
 */
import type { TypeCounters } from '../cache/counters.ts'
import type { Entry } from '../cache/entry.ts'
import type { Flight } from '../cache/flights.ts'
import type { Missed, Wanted } from '../cache/reading.ts'
import { type Deadline, putOff } from '../cache/tiers.ts'
import type { HitTier } from '../events.ts'
import {
  type CacheRequest,
  type CacheResponse,
  type InnerHandler,
  isOver,
  isRuled,
  type Next,
  notePassage,
  takeCharge,
} from './exchange.ts'
import { answered, Fill } from './fill.ts'
import { shareClasses } from './hidden-class.ts'
import { countHit } from './hit.ts'
import { respondReadily } from './ready-head.ts'
import { targetOf } from './request-key.ts'
import {
  addVary,
  COLLAPSED,
  FORWARDED,
  type Form,
  HIT,
  identityOf,
  label,
  type Outcome,
  respond,
  STALE,
} from './respond.ts'
import { Exchange, type RouteContext } from './route-context.ts'
import { originOf, see } from './seen.ts'

export class CacheMiddleware {
  readonly #options: RouteContext
  readonly #typeCounters: TypeCounters

  constructor(options: RouteContext) {
    this.#options = options
    this.#typeCounters = options.counters.of(options.route.type)
  }

  readonly handle: InnerHandler = (req, res, next) => {
    const { route, name, decider, cache, clock, enabled, front } = this.#options
    if (!enabled) {
      notePassage(req, route.type)
      return next()
    }
    const { method } = req
    const isRead = method === 'GET' || method === 'HEAD'
    if (isRead) shareClasses(req, res)
    if (!isRead || isRuled(res)) {
      if (isRead) {
        const at = (req.originalUrl ?? req.url ?? '').replace(/\?.*/s, '')
        this.#options.warn('ERR_CACHE_TWICE', `two cache middlewares on ${at}: the outer one rules`, name)
      }
      notePassage(req, route.type)
      return next()
    }
    const decision = decider.decide(req)
    if (typeof decision === 'string') {
      this.#mark(req, res)
      see(this.#options.seen, req, originOf(req, route, undefined))
      return this.#bypass(res, next, decision)
    }
    if (front) front.door.learn(req, front, () => targetOf(req, route))
    const exchange = new Exchange(req, res, next, decision, clock.monotonic())
    if (!decision.refresh) {
      const entry = cache.find(decision.wanted, exchange.startedAtMs)
      if (entry !== undefined) {
        if (exchange.startedAtMs < entry.staleAtMs) return this.#hit(exchange, entry, 'memory')
        if (this.#mayServeStale(exchange, entry) && cache.isFlying(decision.wanted)) {
          return this.#hit(exchange, entry, 'memory', STALE)
        }
      }
    }
    decision.wanted.origin = originOf(req, route, decision.scope)
    see(this.#options.seen, req, decision.wanted.origin)
    this.#look(exchange).catch((cause: unknown) => {
      this.#options.onDefect(cause)
      this.#pass(exchange)
    })
  }

  /** For those behind us. */
  #mark(req: CacheRequest, res: CacheResponse): void {
    takeCharge(res)
    notePassage(req, this.#options.route.type)
  }

  /** Hands the request on, once. */
  #pass(exchange: Exchange): void {
    if (exchange.isPassed || isOver(exchange.res)) return
    exchange.isPassed = true
    this.#mark(exchange.req, exchange.res)
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
    this.#options.checkSubscriber()
    let deadline = cache.deadline()
    for (let waits = 0; ; ) {
      // Without Redis this waits for nothing: the handler runs in the same turn as it would without a cache.
      let reading = decision.refresh ? undefined : cache.readAlone(wanted)
      if (reading === undefined) {
        reading = decision.refresh ? await cache.stampsNow(wanted, deadline) : await cache.read(wanted, deadline)
      }
      // Before we were entered, it may be: then there will be no `close` to end a flight.
      if (isOver(res)) return
      if ('entry' in reading) return this.#hit(exchange, reading.entry, reading.tier)
      if (reading.isDown && reading.reach === 'none') return this.#bypass(res, () => this.#pass(exchange), 'redis-down')
      if (decision.onlyIfCached) return this.#gatewayTimeout(exchange)
      const key = `${route.type}:${reading.hash}`
      if (waits > 1 || !this.#mayFly(exchange, reading, key))
        return await this.#lead(exchange, reading, undefined, deadline)
      const { flights } = cache.options
      const flight = flights.find(key, reading.stamps)
      if (flight === undefined) return await this.#lead(exchange, reading, flights.lead(key, reading.stamps), deadline)
      if (reading.stale && this.#mayServeStale(exchange, reading.stale)) {
        return this.#hit(exchange, reading.stale, 'memory', STALE)
      }
      const sinceMs = clock.monotonic()
      const landing = await flights.follow(flight)
      if (isOver(res)) return
      deadline = putOff(deadline, clock, sinceMs)
      if (landing.kind === 'unshareable') marks.set(key)
      // A leader that went away leaves its place to the first of those who waited, not to all of them at once.
      if (landing.kind !== 'abandoned') waits++
      if (landing.kind === 'answered' && this.#isFor(wanted, landing.entry, landing.variant)) {
        this.#typeCounters.coalesced++
        this.#countMiss(exchange, true)
        respond(exchange, res, landing.entry, COLLAPSED, clock.monotonic(), this.#options.headers)
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
    const { compressor, route } = this.#options
    const form = compressor?.choose(route.type, entry, exchange.headers['accept-encoding'])
    if (form instanceof Promise) {
      // The client takes no other form, and it is not made yet.
      void form
        .catch(() => undefined)
        .then((made) => isOver(exchange.res) || this.#send(exchange, entry, tier, outcome, made))
        .catch((cause: unknown) => {
          this.#options.onDefect(cause)
          this.#pass(exchange)
        })
    } else this.#send(exchange, entry, tier, outcome, form)
  }

  #send(exchange: Exchange, entry: Entry, tier: HitTier, outcome: Outcome, form: Form = identityOf(entry)): void {
    const { clock, headers, compressor, front } = this.#options
    const { req, res } = exchange
    if (compressor) addVary(res, ACCEPT_ENCODING)
    const sent = respondReadily(req, res, entry, outcome, clock.monotonic(), headers, form)
    if (front && sent.status === entry.status) front.door.record(req, res, entry, front, form)
    if (exchange.isCounted) return
    exchange.isCounted = true
    const { startedAtMs, decision } = exchange
    countHit(this.#options, { req, hash: decision.wanted.hash, entry, tier, outcome, sent, startedAtMs, via: 'route' })
  }

  #gatewayTimeout(exchange: Exchange): void {
    this.#countMiss(exchange, false)
    const { res } = exchange
    if (this.#options.headers) label(res, { xCache: 'MISS', status: 'fwd=request; detail=only-if-cached' })
    res.statusCode = 504
    res.end()
  }

  #countMiss(exchange: Exchange, collapsed: boolean): void {
    if (exchange.isCounted) return
    exchange.isCounted = true
    const { events, route } = this.#options
    this.#typeCounters.misses++
    if (events.has('miss')) {
      events.emit('miss', { type: route.type, key: `${route.type}:${exchange.decision.wanted.hash}`, collapsed })
    }
  }

  // --- running the handler ----------------------------------------------------------------------------------------

  async #lead(exchange: Exchange, missed: Missed, flight: Flight | undefined, deadline: Deadline): Promise<void> {
    const { cache, fleet } = this.#options
    const { req, res, decision } = exchange
    const stale = missed.stale && this.#mayServeStale(exchange, missed.stale) ? missed.stale : undefined
    const hasToAsk = flight !== undefined && cache.options.shared !== undefined
    const turn = hasToAsk ? await fleet.turn(decision.wanted, missed, deadline, stale) : undefined
    if (turn?.entry) {
      flight?.land(answered(turn.entry, decision.wanted))
      if (isOver(res)) return
      return turn.entry === stale
        ? this.#hit(exchange, stale, 'memory', STALE)
        : this.#hit(exchange, turn.entry, 'redis')
    }
    if (turn && isOver(res)) {
      flight?.land({ kind: 'abandoned' })
      turn.done()
      return
    }
    if (decision.credential === undefined) this.#countMiss(exchange, false)
    else this.#countBypass(decision.credential)
    if (req.method === 'HEAD') {
      if (this.#options.headers) label(res, FORWARDED)
      return this.#pass(exchange)
    }
    if (flight) cache.options.flights.handlerStarted(flight)
    new Fill(this.#options, exchange, missed, flight, turn?.done).watch()
    this.#pass(exchange)
  }

  #countBypass(credential: string): void {
    const { counters, route, name, events, warn } = this.#options
    counters.bypass(route.type, credential)
    if (events.has('bypass')) events.emit('bypass', { type: route.type, reason: credential })
    warn(
      'ERR_SCOPE_MISSING',
      `requests for ${route.type} carry ${credential}, and the route has no scope: they bypass the cache. ` +
        "Say who may share an entry: scope: 'public', or scope: (req) => req.user.tenant",
      name,
    )
  }
}

const ACCEPT_ENCODING = ['Accept-Encoding']
