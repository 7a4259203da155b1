/*
 * L2 on Redis: entries, locks, and the truth about epochs. Every wait has a deadline; the breaker and the link end all
 * waits at once when Redis is gone. Knows the wire (keys, scripts, channel), not what epochs mean.
 */
import { hash, randomInt } from 'node:crypto'
import type { Clock, Deadline, Raise, SharedLookup, SharedTier } from '../cache/tiers.ts'
import { TierError } from '../errors.ts'
import { Breaker } from './breaker.ts'
import { encodeCause } from './messages.ts'
import type { Commands, RedisClient } from './redis-client.ts'
import { defineScripts } from './scripts.ts'

export interface RedisTierOptions {
  readonly client: RedisClient
  readonly clock: Clock
  readonly prefix: string
  readonly workerId: string
  readonly breaker: { readonly failures: number; readonly probeEveryMs: number }
  readonly redisTimeoutMs: number
  /** The longest life of an entry: epochs outlive it. */
  readonly longestTtlMs: () => number
  /** Everything that must happen before Redis is believed again. */
  readonly recover: () => Promise<boolean>
  readonly onChange: (isUp: boolean, reason: string) => void
  readonly onError: (error: TierError) => void
  readonly inBackground: (work: Promise<unknown>, reason: string) => void
}

const WEEK_SECONDS = 7 * 24 * 3600
/** Error replies that speak of the server, not of the key. */
const NOT_SERVING = /^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)/

export class RedisTier implements SharedTier {
  readonly #options: RedisTierOptions
  readonly #client: Commands
  readonly #breaker: Breaker
  readonly #isCluster: boolean
  /** Ends a wait: the link is lost, or the breaker opened. */
  readonly #waits = new Set<(error: TierError) => void>()
  readonly #listeners: [string, () => void][]
  /** Tags whose epoch was opened lately, so that its life was renewed. */
  #opened = new Map<string, number>()
  #link = 1
  #probedLink = 0
  #roundTrips = { count: 0, totalMs: 0 }

  constructor(options: RedisTierOptions) {
    this.#options = options
    this.#client = options.client as Commands
    this.#isCluster = options.client.isCluster === true
    this.#breaker = new Breaker({
      ...options.breaker,
      clock: options.clock,
      probe: () => this.#probe(),
      onChange: (isOpen, reason) => {
        if (isOpen) this.#loseLink(reason)
        options.onChange(!isOpen, reason)
      },
    })
    defineScripts(options.client)
    const lost = (): void => {
      this.#loseLink('connection lost')
      this.#breaker.open('connection lost')
    }
    const ready = (): void => this.#breaker.probeNow()
    this.#listeners = [
      ['close', lost],
      ['end', lost],
      ['ready', ready],
      // A cluster's node came or went: raises may have been lost with it, so ask before believing.
      ['-node', lost],
      ['+node', ready],
    ]
    for (const [event, listener] of this.#listeners) this.#client.on(event, listener)
    if (this.#client.status === 'end' || this.#client.status === 'close' || this.#client.status === 'reconnecting')
      lost()
  }

  get link(): number {
    return this.#link
  }

  isUp(): boolean {
    return !this.#breaker.isOpen
  }

  /** Round trips so far and their mean, for metrics. */
  get roundTrips(): { readonly count: number; readonly totalMs: number } {
    return this.#roundTrips
  }

  stop(): void {
    this.#breaker.stop()
    for (const [event, listener] of this.#listeners) this.#client.off(event, listener)
    this.#loseLink('stopped')
  }

  // --- keys -----------------------------------------------------------------------------------------------------

  get channel(): string {
    return `${this.#options.prefix}cache:invalidate`
  }

  /** Tells apart those who share a server's channels but not its keys. */
  get space(): string {
    const { keyPrefix = '', db = 0 } = this.#client.options as { keyPrefix?: string; db?: number }
    return hash('sha256', `${db}\0${keyPrefix}`, 'hex').slice(0, 8)
  }

  entryKey(type: string, hash: string): string {
    return `${this.#options.prefix}registry:${type}:${hash}`
  }

  epochKey(tag: string): string {
    return `${this.#options.prefix}${tag}:@epoch`
  }

  #lockKey(type: string, hash: string, stampsHash: string): string {
    return `${this.entryKey(type, hash)}:@lock:${stampsHash}`
  }

  #epochSeconds(): number {
    return Math.max(WEEK_SECONDS, Math.ceil((2 * this.#options.longestTtlMs()) / 1000))
  }

  // --- reading --------------------------------------------------------------------------------------------------

  async lookup(type: string, hash: string, tags: readonly string[], deadline: Deadline): Promise<SharedLookup> {
    const key = this.entryKey(type, hash)
    if (this.#isCluster) {
      const [epochs, entry] = await this.#run('lookup', deadline, () =>
        Promise.all([this.#openAll(tags), this.#fetch(key)]),
      )
      return { epochs, ...entry }
    }
    const [ttlMs, values] = await this.#run('lookup', deadline, async () => {
      // PTTL first: an entry replaced in between then gets too short a life, never too long a one.
      const pipeline = this.#client.pipeline()
      pipeline.pttl(key)
      pipeline.mgetBuffer(key, ...tags.map((tag) => this.epochKey(tag)))
      const replies = (await pipeline.exec()) ?? []
      for (const [error] of replies) if (error) throw error
      return replies.map(([, reply]) => reply) as [number, (Buffer | null)[]]
    })
    const [envelope, ...numbers] = values
    const epochs = await this.#openMissing(tags, numbers.map(toEpoch), deadline)
    return { epochs, envelope: envelope ?? undefined, ttlMs }
  }

  async readEpochs(tags: readonly string[], deadline: Deadline): Promise<readonly (number | undefined)[]> {
    if (this.#isCluster) return await this.#run('epochs', deadline, () => this.#openAll(tags))
    const keys = tags.map((tag) => this.epochKey(tag))
    const values = await this.#run('epochs', deadline, () => this.#client.mget(...keys))
    return await this.#openMissing(tags, values.map(toEpoch), deadline)
  }

  async #openMissing(
    tags: readonly string[],
    epochs: (number | undefined)[],
    deadline: Deadline,
  ): Promise<(number | undefined)[]> {
    const missing = tags.filter((_tag, i) => epochs[i] === undefined)
    this.#renew(tags.filter((_tag, i) => epochs[i] !== undefined))
    if (missing.length === 0) return epochs
    const opened = await this.#run('open', deadline, () => this.#openAll(missing))
    return tags.map((tag, i) => epochs[i] ?? opened[missing.indexOf(tag)])
  }

  async #openAll(tags: readonly string[]): Promise<(number | undefined)[]> {
    const seconds = this.#epochSeconds()
    for (const tag of tags) this.#noteOpened(tag)
    return await Promise.all(
      tags.map((tag) => this.#orRefused(this.#client.registryCacheOpen(this.epochKey(tag), seconds).then(toEpoch))),
    )
  }

  /** Now and then an epoch that is in use gets its whole life again, so that it outlives its entries. Nobody waits. */
  #renew(tags: readonly string[]): void {
    const nowMs = this.#options.clock.monotonic()
    const everyMs = (this.#epochSeconds() * 1000) / 8
    const due = tags.filter((tag) => nowMs - (this.#opened.get(tag) ?? Number.NEGATIVE_INFINITY) > everyMs)
    if (due.length === 0) return
    const deadline = { atMs: nowMs + this.#options.redisTimeoutMs, recovering: false }
    this.#options.inBackground(
      this.#run('renew', deadline, () => this.#openAll(due)).catch(() => {}),
      'renew',
    )
  }

  #noteOpened(tag: string): void {
    if (this.#opened.size >= 10_000) this.#opened = new Map()
    this.#opened.set(tag, this.#options.clock.monotonic())
  }

  async #fetch(key: string): Promise<{ envelope: Buffer | undefined; ttlMs: number }> {
    const [ttlMs, value] = (await this.#client.registryCacheFetchBuffer(key)) as [number, Buffer | null]
    return { envelope: value ?? undefined, ttlMs }
  }

  async reveal(
    tag: string,
    beganAtMs: number,
    deadline: Deadline,
  ): Promise<{ epoch: number; raisedSince: boolean } | undefined> {
    const { clock } = this.#options
    const elapsedUs = Math.ceil((clock.monotonic() - beganAtMs) * 1000)
    const reply = await this.#run('reveal', deadline, () =>
      this.#orRefused(this.#client.registryCacheReveal(this.epochKey(tag), this.#epochSeconds(), elapsedUs)),
    ).catch(() => undefined)
    if (!Array.isArray(reply)) return undefined
    const [epoch, now] = [toEpoch(reply[0]), toEpoch(reply[1])]
    if (epoch === undefined || now === undefined) return undefined
    // The reply has travelled: counting to its arrival puts the start no later than it was.
    const beganUs = now - (clock.monotonic() - beganAtMs) * 1000
    return { epoch, raisedSince: reply[2] === 0 && epoch >= beganUs }
  }

  // --- raising --------------------------------------------------------------------------------------------------

  async raise(raises: readonly Raise[], cause: string, deadline: Deadline): Promise<readonly (number | undefined)[]> {
    return await this.#run('raise', deadline, () =>
      Promise.all(raises.map((raise) => this.#raiseOne(raise, cause, 'registryCacheRaise', []))),
    )
  }

  async raiseUnlessChanged(raise: Raise, known: number, deadline: Deadline): Promise<number | undefined> {
    return await this.#run('raise', deadline, () =>
      this.#raiseOne(raise, 'foreign', 'registryCacheRaiseUnlessChanged', [known]),
    )
  }

  async #raiseOne(
    { tag, floor }: Raise,
    cause: string,
    script: 'registryCacheRaise' | 'registryCacheRaiseUnlessChanged',
    more: readonly number[],
  ): Promise<number | undefined> {
    const { workerId } = this.#options
    const about = `${workerId} ${encodeCause(cause)} ${tag}`
    const step = randomInt(1, 1001)
    const args = [this.epochKey(tag), floor, step, this.#epochSeconds(), this.channel, this.space, about, tag] as const
    const epoch = await this.#orRefused(this.#client[script](...args, ...more).then(toEpoch))
    if (epoch !== undefined) return epoch
    return await this.#orRefused(this.#client.registryCacheDrop(...args).then(toEpoch))
  }

  // --- writing --------------------------------------------------------------------------------------------------

  async set(type: string, hash: string, envelope: Buffer, ttlMs: number, deadline: Deadline): Promise<void> {
    const px = Math.max(1, Math.ceil(ttlMs))
    await this.#run('set', deadline, () => this.#client.set(this.entryKey(type, hash), envelope, 'PX', px))
  }

  async lock(
    type: string,
    hash: string,
    stampsHash: string,
    token: string,
    ttlMs: number,
    deadline: Deadline,
  ): Promise<boolean> {
    const key = this.#lockKey(type, hash, stampsHash)
    const px = Math.max(1, Math.ceil(ttlMs))
    const reply = await this.#run('lock', deadline, () =>
      this.#client.set(key, `${this.#options.workerId}:${token}`, 'PX', px, 'NX'),
    )
    return reply !== null
  }

  async unlock(type: string, hash: string, stampsHash: string, token: string, deadline: Deadline): Promise<void> {
    const key = this.#lockKey(type, hash, stampsHash)
    await this.#run('unlock', deadline, () =>
      this.#client.registryCacheUnlock(key, `${this.#options.workerId}:${token}`),
    )
  }

  async watch(
    type: string,
    hash: string,
    stampsHash: string,
    deadline: Deadline,
  ): Promise<{ envelope: Buffer | undefined; ttlMs: number; locked: boolean }> {
    const [entry, locks] = await this.#run('watch', deadline, () =>
      // The lock is looked at first: a lock that is gone by then has left its entry before.
      Promise.all([
        this.#client.exists(this.#lockKey(type, hash, stampsHash)),
        this.#fetch(this.entryKey(type, hash)),
      ]).then(([locks, entry]) => [entry, locks] as const),
    )
    return { ...entry, locked: locks > 0 }
  }

  /**
   * Removes the plain keys that workers of the older system stored for a type: exactly this type, in batches, and never
   * a key of ours that holds an epoch or a lock.
   */
  async sweepForeign(type: string): Promise<void> {
    const { keyPrefix = '' } = this.#client.options as { keyPrefix?: string }
    const plain = this.entryKey(type, '').slice(0, -1)
    const pattern = `${(keyPrefix + plain).replace(/[\\*?[\]^-]/g, '\\$&')}:*`
    const nodes = this.#isCluster ? (this.#client.nodes('master') as Commands[]) : [this.#client]
    await this.#client.unlink(plain)
    for (const node of nodes) {
      let cursor = '0'
      do {
        const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', 500)
        const foreign = keys.filter((key) => !key.includes(':@')).map((key) => key.slice(keyPrefix.length))
        if (this.#isCluster) await Promise.all(foreign.map((key) => this.#client.unlink(key)))
        else if (foreign.length > 0) await this.#client.unlink(...foreign)
        cursor = next
      } while (cursor !== '0' && this.isUp())
    }
  }

  // --- waiting --------------------------------------------------------------------------------------------------

  /** What `send` gives, unless the deadline passes, the link is lost or the breaker opens first: then it rejects. */
  #run<T>(operation: string, deadline: Deadline, send: () => Promise<T>): Promise<T> {
    const { clock, onError } = this.#options
    if (this.#breaker.isOpen && !deadline.recovering) {
      return Promise.reject(new TierError('ERR_REDIS_UNAVAILABLE', operation, 'Redis is left alone for now'))
    }
    const sentAtMs = clock.monotonic()
    return new Promise<T>((resolve, reject) => {
      const finish = (): void => {
        this.#waits.delete(end)
        clock.clearTimeout(timer)
      }
      const end = (error: TierError): void => {
        finish()
        reject(error)
      }
      const timer = clock.setTimeout(
        () => {
          const error = new TierError(
            'ERR_REDIS_TIMEOUT',
            operation,
            `no answer within ${this.#options.redisTimeoutMs} ms`,
          )
          end(error)
          onError(error)
          this.#breaker.failure('no answer in time')
        },
        Math.max(0, deadline.atMs - sentAtMs),
      )
      this.#waits.add(end)
      send().then(
        (value) => {
          if (!this.#waits.has(end)) return // Too late: it does not count.
          finish()
          this.#breaker.success()
          this.#roundTrips.count++
          this.#roundTrips.totalMs += clock.monotonic() - sentAtMs
          resolve(value)
        },
        (cause: unknown) => {
          if (!this.#waits.has(end)) return
          const message = cause instanceof Error ? cause.message : String(cause)
          const isReply = isErrorReply(cause)
          const error = new TierError(isReply ? 'ERR_REDIS_REPLY' : 'ERR_REDIS_UNAVAILABLE', operation, message, cause)
          end(error)
          onError(error)
          if (!isReply) this.#breaker.failure(message)
          else if (NOT_SERVING.test(message)) this.#breaker.open(message)
          else this.#breaker.success()
        },
      )
    })
  }

  /** An error reply to one of several commands is no outage: it shows as undefined. */
  async #orRefused<T>(reply: Promise<T>): Promise<T | undefined> {
    try {
      return await reply
    } catch (error) {
      if (!isErrorReply(error) || NOT_SERVING.test((error as Error).message)) throw error
      this.#options.onError(new TierError('ERR_REDIS_REPLY', 'script', (error as Error).message, error))
      return undefined
    }
  }

  #loseLink(reason: string): void {
    this.#link++
    const error = new TierError('ERR_REDIS_UNAVAILABLE', 'wait', reason)
    for (const end of [...this.#waits]) end(error)
  }

  /** One PING at a time on a link: on a frozen Redis its late answer tells the moment of the thaw. */
  async #probe(): Promise<boolean> {
    const link = this.#link
    if (this.#client.status !== 'ready' || this.#probedLink === link) return false
    this.#probedLink = link
    try {
      await this.#client.ping()
      return link === this.#link && (await this.#options.recover()) && link === this.#link
    } catch {
      return false
    } finally {
      if (this.#probedLink === link) this.#probedLink = 0
    }
  }
}

function isErrorReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}

function toEpoch(value: unknown): number | undefined {
  const text = Buffer.isBuffer(value) ? value.toString('latin1') : value
  if (typeof text !== 'string' || !/^\d{1,16}$/.test(text)) return undefined
  const epoch = Number(text)
  return Number.isSafeInteger(epoch) ? epoch : undefined
}
