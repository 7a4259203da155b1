/*
 * The one way to Redis: every wait has a deadline, and losing the connection or opening the breaker ends all of them at
 * once. A reply that comes after that counts for nothing.
 */
import type { Clock, Deadline } from '../cache/tiers.ts'
import { TierError } from '../errors.ts'
import { Breaker } from './breaker.ts'
import { corkForThisTurn, type RedisClient } from './redis-client.ts'

export interface RedisLinkOptions {
  readonly client: RedisClient
  readonly clock: Clock
  readonly breaker: { readonly failures: number; readonly probeEveryMs: number }
  readonly redisTimeoutMs: number
  /** Everything that must happen before Redis is believed again. */
  readonly recover: () => Promise<boolean>
  readonly onChange: (isUp: boolean, reason: string) => void
  readonly onError: (error: TierError) => void
}

/** Error replies that speak of the server, not of the key. Redis 6.2 wraps those of a script's commands in words of its own. */
const NOT_SERVING = /(^|[ -])(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN) /

export class RedisLink {
  readonly #options: RedisLinkOptions
  readonly #client: RedisClient
  readonly #breaker: Breaker
  /** Ends a wait: the connection is lost, or the breaker opened. */
  readonly #waits = new Set<(error: TierError) => void>()
  readonly #listeners: [string, () => void][]
  #id = 1
  #probed = 0
  #isStopped = false
  #hasConnected: boolean
  #roundTrips = { count: 0, totalMs: 0 }

  constructor(options: RedisLinkOptions) {
    this.#options = options
    this.#client = options.client
    this.#breaker = new Breaker({
      ...options.breaker,
      clock: options.clock,
      probe: () => this.#probe(),
      onChange: (isOpen, reason) => {
        if (isOpen) this.#lose(reason)
        options.onChange(!isOpen, reason)
      },
    })
    const lost = (): void => this.#connectionLost()
    const ready = (): void => this.#breaker.probeNow()
    this.#hasConnected = options.client.status === 'ready'
    this.#listeners = [
      ['close', lost],
      ['end', lost],
      [
        'ready',
        () => {
          this.#hasConnected = true
          ready()
        },
      ],
      // A cluster's node came or went: raises may have been lost with it, so ask before believing.
      ['-node', lost],
      ['+node', ready],
    ]
    this.#listen()
  }

  /** Changes whenever the connection is lost or the breaker opens. */
  get id(): number {
    return this.#id
  }

  /** Whether a request may wait for Redis now. */
  get isUp(): boolean {
    return !this.#breaker.isOpen
  }

  /** Whether the client says that it is connected, which need not mean that Redis answers. */
  get isConnected(): boolean {
    return this.#client.status === 'ready'
  }

  /** Whether there ever was a connection. */
  get hasConnected(): boolean {
    return this.#hasConnected
  }

  /** Round trips so far, for metrics. */
  get roundTrips(): { readonly count: number; readonly totalMs: number } {
    return this.#roundTrips
  }

  /** Goes on after `stop`; nothing otherwise. */
  start(): void {
    if (!this.#isStopped) return
    this.#isStopped = false
    this.#breaker.start()
    this.#listen()
  }

  stop(): void {
    this.#isStopped = true
    this.#breaker.stop()
    for (const [event, listener] of this.#listeners) this.#client.off(event, listener)
    this.#lose('stopped')
  }

  /** What `send` gives, unless the deadline passes, the link is lost or the breaker opens first: then it rejects. */
  run<T>(operation: string, deadline: Deadline, send: () => Promise<T>): Promise<T> {
    return this.#wait(operation, deadline, send, true)
  }

  /** The same for what is said beside the cache's work: how that goes is no matter of the breaker, and no error. */
  aside<T>(operation: string, deadline: Deadline, send: () => Promise<T>): Promise<T> {
    return this.#wait(operation, deadline, send, false)
  }

  #wait<T>(operation: string, deadline: Deadline, send: () => Promise<T>, counts: boolean): Promise<T> {
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
          if (!counts) return
          onError(error)
          this.#breaker.failure('no answer in time')
        },
        Math.max(0, deadline.atMs - sentAtMs),
      )
      this.#waits.add(end)
      this.#together(send).then(
        (value) => {
          if (!this.#waits.has(end)) return // Too late: it does not count.
          finish()
          resolve(value)
          if (!counts) return
          this.#breaker.success()
          this.#roundTrips.count++
          this.#roundTrips.totalMs += clock.monotonic() - sentAtMs
        },
        (cause: unknown) => {
          if (!this.#waits.has(end)) return
          const message = cause instanceof Error ? cause.message : String(cause)
          const isReply = isErrorReply(cause)
          const error = new TierError(isReply ? 'ERR_REDIS_REPLY' : 'ERR_REDIS_UNAVAILABLE', operation, message, cause)
          end(error)
          if (!counts) return
          onError(error)
          if (!isReply) this.#breaker.failure(message)
          else if (NOT_SERVING.test(message)) this.#breaker.open(message)
          else this.#breaker.success()
        },
      )
    })
  }

  #together<T>(send: () => T): T {
    const { stream } = this.#client
    if (typeof stream?.cork === 'function') corkForThisTurn(stream)
    return send()
  }

  /** An error reply to one of several commands is no outage: it shows as undefined. */
  async orRefused<T>(reply: Promise<T>): Promise<T | undefined> {
    try {
      return await reply
    } catch (error) {
      if (!isErrorReply(error) || NOT_SERVING.test((error as Error).message)) throw error
      this.#options.onError(new TierError('ERR_REDIS_REPLY', 'script', (error as Error).message, error))
      return undefined
    }
  }

  #listen(): void {
    for (const [event, listener] of this.#listeners) this.#client.on(event, listener)
    if (['end', 'close', 'reconnecting'].includes(this.#client.status)) this.#connectionLost()
  }

  #connectionLost(): void {
    this.#lose('connection lost')
    this.#breaker.open('connection lost')
  }

  #lose(reason: string): void {
    this.#id++
    const error = new TierError('ERR_REDIS_UNAVAILABLE', 'wait', reason)
    for (const end of [...this.#waits]) end(error)
  }

  /** One PING at a time on a link: on a frozen Redis its late answer tells the moment of the thaw. */
  async #probe(): Promise<boolean> {
    const id = this.#id
    if (this.#client.status !== 'ready' || this.#probed === id) return false
    this.#probed = id
    try {
      await this.#client.ping()
      return id === this.#id && (await this.#options.recover()) && id === this.#id
    } catch {
      return false
    } finally {
      if (this.#probed === id) this.#probed = 0
    }
  }
}

function isErrorReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}
