/*
 * L2 on Redis: entries, locks, and the truth about epochs. Knows the wire (keys, scripts,
 * channel), not what epochs mean. Every wait for Redis goes through its link.
 * A client with `stringNumbers` gives every number as text.
 */
import { randomInt } from 'node:crypto'
import type { Deadline, Fetched, Locked, Raise, SharedLookup, SharedTier, Watched } from '../cache/tiers.ts'
import { ForeignKeys } from './foreign-keys.ts'
import { channelOf, entryKey, epochKey, spaceOf } from './keys.ts'
import { Locks } from './locks.ts'
import { Lookups, type Send } from './lookups.ts'
import { encodeCause } from './messages.ts'
import type { Commands } from './redis-client.ts'
import { RedisLink, type RedisLinkOptions } from './redis-link.ts'
import { defineScripts } from './scripts.ts'
import { type SetInParts, setInParts } from './set-in-parts.ts'

export interface RedisTierOptions extends RedisLinkOptions {
  readonly prefix: string
  readonly workerId: string
  /** The longest life of an entry: epochs outlive it. */
  readonly longestTtlMs: () => number
  readonly sweepForeignKeys: boolean
  readonly inBackground: (work: Promise<unknown>, reason: string) => void
}

const WEEK_SECONDS = 7 * 24 * 3600

export class RedisTier implements SharedTier {
  readonly #options: RedisTierOptions
  readonly #client: Commands
  readonly #link: RedisLink
  readonly #isCluster: boolean
  readonly #foreignKeys: ForeignKeys | undefined
  readonly #lookups: Lookups
  readonly #locks: Locks
  readonly #set: SetInParts
  /** Tags whose epoch was opened lately, so that its life was renewed. */
  #opened = new Map<string, number>()

  constructor(options: RedisTierOptions) {
    this.#options = options
    this.#client = options.client as Commands
    this.#isCluster = options.client.isCluster === true
    this.#link = new RedisLink(options)
    if (options.sweepForeignKeys) {
      const { clock, redisTimeoutMs } = options
      const deadline = (): Deadline => ({ atMs: clock.monotonic() + redisTimeoutMs, recovering: false })
      const [client, link, isCluster] = [this.#client, this.#link, this.#isCluster]
      this.#foreignKeys = new ForeignKeys({ ...options, client, link, isCluster, deadline })
    }
    this.#lookups = new Lookups((...batch) => this.#sendLookups(...batch), options.redisTimeoutMs / 10)
    this.#locks = new Locks({
      client: this.#client,
      link: this.#link,
      isCluster: this.#isCluster,
      workerId: options.workerId,
      fetch: (key) => this.#fetch(key),
    })
    this.#set = setInParts(this.#client)
    defineScripts(options.client)
  }

  get link(): number {
    return this.#link.id
  }

  isUp(): boolean {
    return this.#link.isUp
  }

  get isConnected(): boolean {
    return this.#link.isConnected
  }

  get hasConnected(): boolean {
    return this.#link.hasConnected
  }

  /** Round trips so far, for metrics. */
  get roundTrips(): { readonly count: number; readonly totalMs: number } {
    return this.#link.roundTrips
  }

  /** Needed after `stop` only. */
  start(): void {
    this.#link.start()
  }

  stop(): void {
    this.#link.stop()
  }

  /** Sends something beside the cache's work: see RedisLink. */
  aside<T>(operation: string, deadline: Deadline, send: () => Promise<T>): Promise<T> {
    return this.#link.aside(operation, deadline, send)
  }

  // --- keys -----------------------------------------------------------------------------------------------------

  get channel(): string {
    return channelOf(this.#options.prefix)
  }

  /** Tells apart those who share a server's channels but not its keys. */
  get space(): string {
    return spaceOf(this.#client)
  }

  entryKey(type: string, hash: string): string {
    return entryKey(this.#options.prefix, type, hash)
  }

  epochKey(tag: string): string {
    return epochKey(this.#options.prefix, tag)
  }

  #epochSeconds(): number {
    return Math.max(WEEK_SECONDS, Math.ceil((2 * this.#options.longestTtlMs()) / 1000))
  }

  // --- reading --------------------------------------------------------------------------------------------------

  async lookup(type: string, hash: string, tags: readonly string[], deadline: Deadline): Promise<SharedLookup> {
    const key = this.entryKey(type, hash)
    if (this.#isCluster) {
      const [epochs, entry] = await this.#link.run('lookup', deadline, () =>
        Promise.all([this.#openAll(tags), this.#fetch(key)]),
      )
      return { epochs, ...entry }
    }
    return await this.#lookups.look(key, tags, deadline)
  }

  async #sendLookups(
    keys: readonly string[],
    tags: readonly string[],
    deadline: Deadline,
  ): Promise<Awaited<ReturnType<Send>>> {
    const epochKeys = tags.map((tag) => this.epochKey(tag))
    const [ttlsMs, values] = await this.#link.run('lookup', deadline, () =>
      // PTTL first: an entry replaced in between then gets too short a life, never too long a one.
      Promise.all([
        Promise.all(keys.map((key) => this.#client.pttl(key))),
        this.#client.mgetBuffer(...keys, ...epochKeys),
      ]),
    )
    const epochs = await this.#openMissing(tags, values.slice(keys.length).map(toEpoch), deadline)
    return { ttlsMs: ttlsMs.map(Number), envelopes: values, epochs }
  }

  async readEpochs(tags: readonly string[], deadline: Deadline): Promise<readonly (number | undefined)[]> {
    if (this.#isCluster) return await this.#link.run('epochs', deadline, () => this.#openAll(tags))
    const keys = tags.map((tag) => this.epochKey(tag))
    const values = await this.#link.run('epochs', deadline, () => this.#client.mget(...keys))
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
    const opened = await this.#link.run('open', deadline, () => this.#openAll(missing))
    return tags.map((tag, i) => epochs[i] ?? opened[missing.indexOf(tag)])
  }

  async #openAll(tags: readonly string[]): Promise<(number | undefined)[]> {
    const seconds = this.#epochSeconds()
    for (const tag of tags) this.#noteOpened(tag)
    return await Promise.all(
      tags.map((tag) =>
        this.#link.orRefused(this.#client.registryCacheOpen(this.epochKey(tag), seconds).then(toEpoch)),
      ),
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
      this.#link.run('renew', deadline, () => this.#openAll(due)).catch(() => {}),
      'renew',
    )
  }

  #noteOpened(tag: string): void {
    if (this.#opened.size >= 10_000) this.#opened = new Map()
    this.#opened.set(tag, this.#options.clock.monotonic())
  }

  async #fetch(key: string): Promise<Fetched> {
    const [ttlMs, value] = (await this.#client.registryCacheFetchBuffer(key)) as [number | string, Buffer | null]
    return { envelope: value ?? undefined, ttlMs: Number(ttlMs) }
  }

  async reveal(
    tag: string,
    beganAtMs: number,
    deadline: Deadline,
  ): Promise<{ epoch: number; raisedSince: boolean } | undefined> {
    const { clock } = this.#options
    const elapsedUs = Math.ceil((clock.monotonic() - beganAtMs) * 1000)
    const reply = await this.#link
      .run('reveal', deadline, () =>
        this.#link.orRefused(this.#client.registryCacheReveal(this.epochKey(tag), this.#epochSeconds(), elapsedUs)),
      )
      .catch(() => undefined)
    if (!Array.isArray(reply)) return undefined
    const [epoch, now] = [toEpoch(reply[0]), toEpoch(reply[1])]
    if (epoch === undefined || now === undefined) return undefined
    // The reply has travelled: counting to its arrival puts the start no later than it was.
    const beganUs = now - (clock.monotonic() - beganAtMs) * 1000
    return { epoch, raisedSince: Number(reply[2]) === 0 && epoch >= beganUs }
  }

  // --- raising --------------------------------------------------------------------------------------------------

  async raise(raises: readonly Raise[], cause: string, deadline: Deadline): Promise<readonly (number | undefined)[]> {
    const epochs = await this.#link.run('raise', deadline, () =>
      Promise.all(raises.map((raise) => this.#raiseOne(raise, cause, 'registryCacheRaise', []))),
    )
    for (const [i, { tag }] of raises.entries()) if (epochs[i] !== undefined) this.#foreignKeys?.sweep(tag)
    return epochs
  }

  async raiseUnlessChanged(raise: Raise, known: number, deadline: Deadline): Promise<number | undefined> {
    return await this.#link.run('raise', deadline, () =>
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
    const epoch = await this.#link.orRefused(this.#client[script](...args, ...more).then(toEpoch))
    if (epoch !== undefined) return epoch
    return await this.#link.orRefused(this.#client.registryCacheDrop(...args).then(toEpoch))
  }

  // --- writing --------------------------------------------------------------------------------------------------

  async set(type: string, hash: string, envelope: readonly Buffer[], ttlMs: number, deadline: Deadline): Promise<void> {
    const key = this.entryKey(type, hash)
    const px = Math.max(1, Math.ceil(ttlMs))
    await this.#link.run('set', deadline, () => this.#set(key, envelope, px))
  }

  /** Removes one entry; false when it was not there. */
  async remove(type: string, hash: string, deadline: Deadline): Promise<boolean> {
    return (await this.#link.run('remove', deadline, () => this.#client.del(this.entryKey(type, hash)))) > 0
  }

  async lock(
    type: string,
    hash: string,
    stampsHash: string,
    token: string,
    ttlMs: number,
    deadline: Deadline,
  ): Promise<Locked> {
    return await this.#locks.take(this.entryKey(type, hash), stampsHash, token, ttlMs, deadline)
  }

  async unlock(type: string, hash: string, stampsHash: string, token: string, deadline: Deadline): Promise<void> {
    await this.#locks.release(this.entryKey(type, hash), stampsHash, token, deadline)
  }

  async watch(type: string, hash: string, stampsHash: string, deadline: Deadline): Promise<Watched> {
    return await this.#locks.watch(this.entryKey(type, hash), stampsHash, deadline)
  }
}

function toEpoch(value: unknown): number | undefined {
  const text = Buffer.isBuffer(value) ? value.toString('latin1') : value
  if (typeof text !== 'string' || !/^\d{1,16}$/.test(text)) return undefined
  const epoch = Number(text)
  return Number.isSafeInteger(epoch) ? epoch : undefined
}
