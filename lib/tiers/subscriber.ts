/*
 * Listens for invalidations on a connection of its own, and notices when it has gone deaf: a dropped connection at once,
 * a half-open one by a heartbeat. Each time it is live again is a new session; nothing is believed across sessions.
 */
import type { Epochs } from '../cache/epochs.ts'
import { isTag } from '../cache/names.ts'
import type { Raises } from '../cache/raises.ts'
import type { Clock } from '../cache/tiers.ts'
import { TierError } from '../errors.ts'
import { Pairing, parseEpochMessage } from './messages.ts'
import type { Commands, RedisClient } from './redis-client.ts'

export interface SubscriberOptions {
  readonly client: RedisClient
  readonly channel: string
  readonly space: string
  readonly clock: Clock
  readonly epochs: Epochs
  readonly raises: Raises
  readonly onError: (error: TierError) => void
  /** Live or not, for status displays. */
  readonly onChange?: (isLive: boolean) => void
}

const RETRY_MS = 500
const HEARTBEAT_MS = 1000
/** A connection that is not live by then is given up: it may be half-open from the start, and nothing would ever say so. */
const LIVE_WITHIN_MS = 5000
/** How long `start` waits for the first subscription before it resolves all the same. */
const START_MS = 2000

/** Formats of the older system; of others only tags that this worker has met are taken from a foreign publisher. */
const FOREIGN_TAG = /^(registry:[A-Za-z0-9_.-]{0,64}|tool_lookup:.+|admin:.+)$/s

export class Subscriber {
  readonly #options: SubscriberOptions
  readonly #pairing = new Pairing()
  #connection: Commands | undefined
  #detach: (() => void) | undefined
  #started: Promise<void> | undefined
  #settleStart: (() => void) | undefined
  #timer: unknown
  #isLive = false
  #lastPongMs = 0

  constructor(options: SubscriberOptions) {
    this.#options = options
  }

  get isLive(): boolean {
    return this.#isLive
  }

  get isStarted(): boolean {
    return this.#started !== undefined
  }

  /** Idempotent. Resolves with the first subscription, or when that cannot be had for now; goes on trying. */
  start(): Promise<void> {
    if (this.#started) return this.#started
    this.#started = new Promise((resolve) => {
      const timer = this.#options.clock.setTimeout(resolve, START_MS)
      this.#settleStart = () => {
        this.#options.clock.clearTimeout(timer)
        resolve()
      }
    })
    this.#connect()
    return this.#started
  }

  /** Safe before `start` and twice. Leaves no timer, socket or listener of ours behind; waits for nothing. */
  stop(): void {
    this.#settleStart?.()
    this.#settleStart = undefined
    this.#started = undefined
    this.#drop()
    this.#options.clock.clearTimeout(this.#timer)
  }

  /** Waits until it is live, at most `ms`. At once where it was not started. */
  async live(ms: number): Promise<void> {
    if (!this.isStarted || this.#isLive) return
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.setTimeout(resolve, ms)
      this.#onLive.push(() => {
        this.#options.clock.clearTimeout(timer)
        resolve()
      })
    })
  }

  #onLive: (() => void)[] = []

  #connect(): void {
    const { client, clock } = this.#options
    if (!this.isStarted) return
    const connection = this.#tryDuplicate(client)
    if (!connection) {
      this.#timer = clock.setTimeout(() => this.#connect(), RETRY_MS)
      return
    }
    this.#connection = connection
    const listeners: [string, (...args: unknown[]) => void][] = [
      ['ready', () => void this.#subscribe(connection)],
      [
        'close',
        () => {
          this.#lost('the subscriber lost its connection')
          this.#expectLive(connection)
        },
      ],
      ['end', () => this.#reconnect()],
      ['message', (_channel, message) => this.#hear(String(message))],
      ['error', () => this.#settleStart?.()],
    ]
    for (const [event, listener] of listeners) connection.on(event, listener)
    this.#detach = () => {
      for (const [event, listener] of listeners) connection.off(event, listener)
      connection.on('error', () => {}) // A closing client may still emit one.
    }
    connection.connect().catch(() => {}) // Reported by its events.
    this.#expectLive(connection)
  }

  #expectLive(connection: Commands): void {
    const { clock } = this.#options
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(() => {
      if (connection === this.#connection && !this.#isLive) this.#reconnect()
    }, LIVE_WITHIN_MS)
  }

  /** Undefined where there is nothing to connect to for now. */
  #tryDuplicate(client: RedisClient): Commands | undefined {
    try {
      return this.#duplicate(client)
    } catch (cause) {
      this.#options.onError(new TierError('ERR_SUBSCRIBER_LOST', 'duplicate', (cause as Error).message, cause))
      this.#settleStart?.()
      return undefined
    }
  }

  /** On a cluster any node hears what is published on any: one plain connection, to a node that is there. */
  #duplicate(client: RedisClient): Commands | undefined {
    const own = {
      lazyConnect: true,
      autoResubscribe: false,
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      keyPrefix: '',
      retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 6), 1000),
    }
    if (client.isCluster !== true) return (client as Commands).duplicate(own) as Commands
    const masters = (client as Commands).nodes('master')
    const node = masters[Math.floor(Math.random() * masters.length)]
    if (!node) {
      if (client.status === 'wait') client.connect().catch(() => {})
      return undefined
    }
    // A node that has left the cluster stays away: do not wait for it, choose anew.
    return (node as Commands).duplicate({ ...own, retryStrategy: () => null }) as Commands
  }

  async #subscribe(connection: Commands): Promise<void> {
    const { channel, epochs, clock, onError, onChange } = this.#options
    try {
      await connection.subscribe(channel)
    } catch (cause) {
      onError(new TierError('ERR_SUBSCRIBER_LOST', 'subscribe', (cause as Error).message, cause))
      this.#settleStart?.()
      if (connection !== this.#connection) return
      clock.clearTimeout(this.#timer)
      this.#timer = clock.setTimeout(() => this.#reconnect(), RETRY_MS)
      return
    }
    if (connection !== this.#connection || connection.status !== 'ready') return
    this.#pairing.reset()
    this.#isLive = true
    this.#lastPongMs = clock.monotonic()
    epochs.subscriptionLive()
    onChange?.(true)
    this.#settleStart?.()
    for (const resolve of this.#onLive.splice(0)) resolve()
    this.#beat(connection)
  }

  /** Asks for a sign of life; two beats without one and the connection is half-open. */
  #beat(connection: Commands): void {
    const { clock } = this.#options
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(() => {
      if (connection !== this.#connection || !this.#isLive) return
      if (clock.monotonic() - this.#lastPongMs > 2.5 * HEARTBEAT_MS) {
        this.#lost('the subscriber heard nothing for too long')
        this.#reconnect()
        return
      }
      connection.ping().then(
        () => {
          if (connection === this.#connection) this.#lastPongMs = clock.monotonic()
        },
        () => {},
      )
      this.#beat(connection)
    }, HEARTBEAT_MS)
  }

  #lost(reason: string): void {
    if (!this.#isLive) return
    this.#isLive = false
    this.#pairing.reset()
    this.#options.epochs.subscriptionLost()
    this.#options.onChange?.(false)
    this.#options.onError(new TierError('ERR_SUBSCRIBER_LOST', 'subscriber', reason))
  }

  /** A fresh connection in place of one that ended or went deaf. */
  #reconnect(): void {
    const wasStarted = this.isStarted
    this.#drop()
    if (wasStarted) this.#timer = this.#options.clock.setTimeout(() => this.#connect(), RETRY_MS / 10)
  }

  #drop(): void {
    const connection = this.#connection
    this.#lostQuietly()
    this.#connection = undefined
    this.#options.clock.clearTimeout(this.#timer)
    this.#detach?.()
    this.#detach = undefined
    connection?.disconnect()
  }

  #lostQuietly(): void {
    if (!this.#isLive) return
    this.#isLive = false
    this.#pairing.reset()
    this.#options.epochs.subscriptionLost()
    this.#options.onChange?.(false)
  }

  #hear(message: string): void {
    const { clock, epochs, raises, space } = this.#options
    const told = parseEpochMessage(message)
    if (told) {
      this.#pairing.epochMessage(told.tag, clock.monotonic())
      // Of another database or key prefix on this server: its epochs are not ours.
      if (told.space === space) epochs.heard(told.tag, told.epoch, told.cause, told.worker)
      return
    }
    if (this.#pairing.bareMessage(message, clock.monotonic())) return
    const isForeign = FOREIGN_TAG.test(message) || (message.includes(':') && epochs.has(message))
    if (isForeign && isTag(message)) raises.heardForeign(message)
  }
}
