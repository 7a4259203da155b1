/*
 * What a worker says of itself in Redis every few seconds, and what it reads there of the others. Beside the cache's work: no
 * request waits for it, its failures open no breaker, and while Redis is left alone it says nothing. Who is alive is told by
 * the expiry of keys, so by Redis' clock alone: workers' wall clocks are never compared.
 */
import type { Clock } from '../cache/tiers.ts'
import { type ErrorCode, TierError } from '../errors.ts'
import { BEAT_EXPIRY_SECONDS, type FleetView, type FleetWorker, fieldsOf, readWorkers } from './fleet-view.ts'
import { workerKey, workersKey } from './keys.ts'
import type { RedisTier } from './redis.ts'
import type { Commands, RedisClient } from './redis-client.ts'

export interface HeartbeatsOptions {
  readonly client: RedisClient
  readonly redis: RedisTier
  readonly prefix: string
  readonly workerId: string
  readonly clock: Clock
  readonly redisTimeoutMs: number
  /** This worker as it is now. */
  readonly own: () => FleetWorker
  readonly warn: (code: ErrorCode, message: string, subject: string) => void
  readonly inBackground: (work: Promise<unknown>, reason: string) => void
}

const BEAT_MS = 5000
/** Each try that is refused makes a line in the server's ACL log. */
const REFUSED_MS = 300_000
/** The set of ids outlives whoever may still be in it. */
const IDS_SECONDS = 60
const REFUSED = /NOPERM|no permissions|can't run this command|can't access/i

export class Heartbeats {
  readonly #options: HeartbeatsOptions
  readonly #client: Commands
  readonly #key: string
  readonly #idsKey: string
  #isStarted = false
  #isRefused = false
  /** The last beat is still on its way: a Redis that answers nothing is not sent one after the other. */
  #unanswered: unknown
  /** Something has changed since. */
  #isOutdated = false
  #timer: unknown
  #reading: Promise<boolean> | undefined
  #seen: readonly FleetWorker[] = []
  #seenAtMs = 0

  constructor(options: HeartbeatsOptions) {
    this.#options = options
    this.#client = options.client as Commands
    this.#key = workerKey(options.prefix, options.workerId)
    this.#idsKey = workersKey(options.prefix)
  }

  /** Idempotent. The first beat goes out at once, or as soon as there is a connection. */
  start(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    this.#unanswered = undefined
    this.#options.client.on('ready', this.#beat)
    this.#beat()
  }

  /** Idempotent, and safe before `start`. Takes back what it said; resolves when Redis has heard that, or can not. Never rejects. */
  async stop(): Promise<void> {
    if (!this.#isStarted) return
    this.#isStarted = false
    this.#options.client.off('ready', this.#beat)
    this.#options.clock.clearTimeout(this.#timer)
    if (!this.#options.redis.isConnected) return
    const { workerId } = this.#options
    const left = this.#ask(() => Promise.all([this.#client.del(this.#key), this.#client.zrem(this.#idsKey, workerId)]))
    await left.catch(() => {})
  }

  /** Something has changed that others may want to know: now, and from then on as ever. Nothing unless it was started. */
  beat(): void {
    if (!this.#isRefused) this.#beat()
  }

  readonly #beat = (): void => {
    const { clock, redis, inBackground } = this.#options
    clock.clearTimeout(this.#timer)
    if (!this.#isStarted) return
    this.#timer = clock.setTimeout(this.#beat, this.#isRefused ? REFUSED_MS : BEAT_MS)
    this.#isOutdated = this.#unanswered !== undefined
    // What is not connected keeps what it is asked, and one that is lazy waits for somebody who needs it.
    if (redis.isConnected && !this.#isOutdated) inBackground(this.#send(), 'heartbeat')
  }

  async #send(): Promise<void> {
    const { workerId, own, warn } = this.#options
    try {
      await this.#ask(() => {
        // The hash first: whoever finds the id finds it too.
        const sent = Promise.all([
          this.#client.registryCacheBeat(this.#key, BEAT_EXPIRY_SECONDS, ...fieldsOf(own())),
          this.#client.registryCacheJoin(this.#idsKey, workerId, IDS_SECONDS),
        ])
        this.#unanswered = sent
        const answered = (): void => {
          if (this.#unanswered !== sent) return
          this.#unanswered = undefined
          if (this.#isOutdated) this.beat()
        }
        sent.then(answered, answered)
        return sent
      })
      this.#isRefused = false
    } catch (error) {
      if (!(error instanceof TierError && error.code === 'ERR_REDIS_REPLY' && REFUSED.test(error.message))) return
      this.#isRefused = true
      const cure = 'give its user the ACL line that `npx express-registry-cache doctor` prints'
      warn('ERR_HEARTBEAT_REFUSED', `Redis lets this worker not say that it is there: ${cure} (${error.message})`, '')
      if (this.#isStarted) {
        this.#options.clock.clearTimeout(this.#timer)
        this.#timer = this.#options.clock.setTimeout(this.#beat, REFUSED_MS)
      }
    }
  }

  /** Never rejects, and takes no longer than `redisTimeout`. */
  async workers(): Promise<FleetView> {
    const { own, clock } = this.#options
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    const known = await this.#reading
    const agoMs = clock.monotonic() - this.#seenAtMs
    const others = known ? this.#seen : this.#seen.map((one) => ({ ...one, beatMsAgo: one.beatMsAgo + agoMs }))
    return { known, workers: [own(), ...others] }
  }

  async #read(): Promise<boolean> {
    const { workerId, prefix, clock, inBackground } = this.#options
    try {
      const { workers, dead } = await this.#ask(() => readWorkers(this.#client, prefix, workerId))
      if (dead.length > 0) {
        const forgotten = this.#ask(() => this.#client.zrem(this.#idsKey, ...dead))
        inBackground(
          forgotten.catch(() => {}),
          'forget workers',
        )
      }
      this.#seen = workers
      this.#seenAtMs = clock.monotonic()
      return true
    } catch {
      return false
    }
  }

  #ask<T>(send: () => Promise<T>): Promise<T> {
    const { redis, clock, redisTimeoutMs } = this.#options
    return redis.aside('heartbeat', { atMs: clock.monotonic() + redisTimeoutMs, recovering: false }, send)
  }
}
