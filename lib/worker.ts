/*
 * The composition root: one worker's cache, put together, and its life. The only file that constructs what has a state.
 */
import { randomBytes } from 'node:crypto'
import { Cache } from './cache/cache.ts'
import { Counters } from './cache/counters.ts'
import type { Entry } from './cache/entry.ts'
import { Epochs } from './cache/epochs.ts'
import { Fleet } from './cache/fleet.ts'
import { Flights } from './cache/flights.ts'
import { Marks } from './cache/marks.ts'
import { isType } from './cache/names.ts'
import { Questions } from './cache/questions.ts'
import { Raises } from './cache/raises.ts'
import { ALL } from './cache/reading.ts'
import { Values } from './cache/values.ts'
import { Description } from './description.ts'
import { EntityTypes } from './entity-types.ts'
import { Events } from './events.ts'
import { Compressor } from './http/compress.ts'
import { FrontDoor } from './http/front-door.ts'
import { Mounting } from './http/mounting.ts'
import { Inspection } from './inspection.ts'
import { dependents, type RegistryCacheOptions, type ResolvedOptions, resolveOptions } from './options.ts'
import { checkClient, checkMode, warnUnreachable } from './startup-checks.ts'
import { type StatsParts, statsOf } from './stats.ts'
import type { FleetView, FleetWorker } from './tiers/fleet-view.ts'
import { Heartbeats } from './tiers/heartbeats.ts'
import { Memory } from './tiers/memory.ts'
import { Memos } from './tiers/memos.ts'
import { RedisTier } from './tiers/redis.ts'
import { Subscriber } from './tiers/subscriber.ts'
import { Upkeep } from './upkeep.ts'
import { ownWorker } from './workers.ts'

/** How long followers wait for a silent handler where no lock's life says so. */
const FOLLOWERS_WAIT_MS = 5000

/** Types of which invalidations are counted though nobody here has asked for one. */
const MOST_TYPES = 1000

export class Worker {
  readonly id: string = randomBytes(6).toString('hex')
  readonly options: ResolvedOptions
  readonly counters: Counters = new Counters()
  readonly events: Events = new Events()
  readonly upkeep: Upkeep
  readonly types: EntityTypes
  readonly memos: Memos
  readonly cache: Cache
  readonly fleet: Fleet
  readonly values: Values
  readonly marks: Marks
  readonly compressor: Compressor
  readonly frontDoor: FrontDoor
  readonly mounting: Mounting
  readonly inspection: Inspection
  readonly description: Description
  readonly #memory: Memory
  readonly #epochs: Epochs
  readonly #raises: Raises
  readonly #redis: RedisTier | undefined
  readonly #subscriber: Subscriber | undefined
  readonly #heartbeats: Heartbeats | undefined
  readonly #self: () => FleetWorker
  #starts = 0

  /** @throws OptionError */
  constructor(given: RegistryCacheOptions) {
    const options = resolveOptions(given)
    this.options = options
    const { clock, redis: client, redisTimeoutMs } = options
    this.upkeep = new Upkeep({ ...options, counters: this.counters, events: this.events })
    this.types = new EntityTypes(options, this.upkeep.warn)
    const { inBackground, report: onError } = this.upkeep
    const longestTtlMs = (): number => this.types.longestTtlMs
    this.#memory = new Memory(options.memory, clock, (type, hash, bytes) => {
      this.counters.of(type).evictions++
      if (this.events.has('evict')) this.events.emit('evict', { type, key: `${type}:${hash}`, bytes })
    })
    this.memos = new Memos(this.#memory, options.memory.maxBytes)
    const { prefix, breaker } = options
    const workerId = this.id
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
        sweepForeignKeys: options.sweepForeignKeys,
        recover: () => this.#recover(),
        onChange: (up, reason) => this.#redisChanged(up, reason),
        onError: (error) => {
          checkMode(client, this.upkeep.warn, error.message)
          onError(error)
        },
        inBackground,
      })
    const shared = this.#redis
    this.#epochs = new Epochs({
      clock,
      shared,
      maxRecords: Math.max(1000, 2 * options.memory.maxEntries),
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
    this.cache = new Cache({
      clock,
      memory: this.#memory,
      shared,
      epochs,
      raises,
      questions,
      flights: new Flights(clock, options.lockTtlMs || FOLLOWERS_WAIT_MS),
      counters: this.counters,
      whenRedisIsDown: options.whenRedisIsDown,
      redisTimeoutMs,
      dependentsOf: dependents(options.types),
      inBackground,
      onError: this.upkeep.failed,
    })
    this.fleet = new Fleet(this.cache, options.lockTtlMs)
    this.marks = new Marks(clock)
    const onGrown = (type: string, entry: Entry, bytes: number): void => this.#memory.grow(type, entry, bytes)
    this.frontDoor = new FrontDoor({
      cache: this.cache,
      headers: options.headers,
      maxBytes: options.memory.maxBytes,
      account: (bytes) => this.#memory.account(bytes),
      onGrown,
    })
    this.compressor = new Compressor({ inBackground, onGrown })
    this.values = new Values({
      cache: this.cache,
      fleet: this.fleet,
      counters: this.counters,
      events: this.events,
      maxStalenessMs: (type) => this.types.maxStalenessMs(type),
    })
    this.inspection = new Inspection({ prefix, cache: this.cache, memory: this.#memory, redis: shared })
    this.mounting = new Mounting((type, route) =>
      this.upkeep.warn(
        'ERR_CACHE_AFTER_ROUTE',
        `the cache of ${type} is mounted behind the route ${route}, which answers before it is reached: mount it before`,
        `${type} ${route}`,
      ),
    )
    this.description = new Description(options, this.cache, workerId)
    const startedAtMs = clock.now()
    this.#self = () => ownWorker(workerId, startedAtMs, statsOf(this.statsParts()))
    const { warn } = this.upkeep
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

  get isEnabled(): boolean {
    return this.options.enabled
  }

  /** Attaches the subscriber. Idempotent, also after `stop`; resolves when Redis is down too, and keeps trying. Never rejects. */
  async start(): Promise<void> {
    if (!this.options.enabled) return
    this.#starts++
    const { redis: client } = this.options
    if (client) checkClient(client, this.upkeep.warn)
    this.#redis?.start()
    this.#heartbeats?.start()
    await this.#subscriber?.start()
    if (client && !this.#subscriber?.isLive && client.status !== 'wait') this.#checkReached('no connection yet')
  }

  /** Detaches everything: no timer, socket or listener of ours is left. Idempotent, safe before `start`, bounded in time. */
  async stop(): Promise<void> {
    const starts = this.#starts
    this.events.emit('stop', { worker: this.id })
    this.upkeep.runPutOff()
    // Once more, though Redis be left alone: it may be back, and nobody would tell it later.
    if (this.#epochs.pendingRaises > 0) await this.#raises.tellPending(true)
    await this.#heartbeats?.stop()
    await this.upkeep.settled()
    // Started again while this waited, by a server that came as the last one went: the later call counts.
    if (this.#starts !== starts) return
    this.#raises.stop()
    this.#subscriber?.stop()
    this.#redis?.stop()
  }

  /** False: kept, and told to the others later. */
  async tell(tags: readonly string[], cause: string): Promise<boolean> {
    this.counters.invalidations += tags.length
    const told = await this.cache.invalidate(tags, cause)
    return told
  }

  /** In this order: what we owe Redis, the subscription, what Redis may have lost. Only then is it believed. */
  async #recover(): Promise<boolean> {
    if (!(await this.#raises.tellPending(true))) return false
    await this.#subscriber?.live(this.options.redisTimeoutMs)
    return await this.#raises.verifyRecent()
  }

  #redisChanged(up: boolean, reason: string): void {
    if (this.events.has('redis')) this.events.emit('redis', { up, reason })
    if (up) this.options.logger?.info(`express-registry-cache: Redis is used again (${reason})`)
    else if (!this.#checkReached(reason)) {
      this.upkeep.warn('ERR_REDIS_UNAVAILABLE', `Redis is left alone for now: ${reason}`, 'redis')
    }
    if (!up) return
    this.upkeep.unsay('ERR_REDIS_UNAVAILABLE', 'redis')
    this.#heartbeats?.beat()
  }

  /** True when it has warned that there was no connection ever. */
  #checkReached(reason: string): boolean {
    const { redis: client } = this.options
    if (!client || this.#redis?.hasConnected) return false
    warnUnreachable(client, reason, this.upkeep.warn)
    return true
  }

  #raised(tag: string, cause: string, worker: string, own: boolean): void {
    if (!own || cause === 'foreign') this.counters.invalidations++
    this.counters.raised(cause, own)
    if (tag === ALL) this.#memory.clear()
    else if (tag.startsWith(ALL)) {
      const type = tag.slice(ALL.length)
      this.#memory.clear(type)
      // Others may name whatever they like: what they made up must not pile up here.
      const { types } = this.counters
      if (isType(type) && (types.has(type) || types.size < MOST_TYPES)) this.counters.of(type).invalidations++
    }
    if (this.events.has('invalidate')) this.events.emit('invalidate', { tag, cause, worker, own })
  }

  /** Right without it, but each hit asks Redis first: most likely it was forgotten. */
  checkSubscriber(): void {
    if (!this.#subscriber || this.#subscriber.isStarted) return
    const cure = 'call attachSubscriber(server), or cache.start(), once at start-up'
    this.upkeep.warn('ERR_SUBSCRIBER_NOT_STARTED', `Redis is given, but nobody listens for invalidations: ${cure}`, '')
  }

  async workers(): Promise<FleetView> {
    return (await this.#heartbeats?.workers()) ?? { known: true, workers: [this.#self()] }
  }

  statsParts(): StatsParts {
    const { options, counters } = this
    const parts = { memory: this.#memory, redis: this.#redis, subscriber: this.#subscriber, epochs: this.#epochs }
    return { options, counters, ...parts }
  }
}
