/*
 * Values instead of responses: get, set and wrap on the same two tiers, under the same stamps. A value is JSON text in
 * an entry; each reader gets a fresh copy of it, of the same shape whichever tier it came from.
 */
import { OptionError, TierError } from '../errors.ts'
import type { Events } from '../events.ts'
import type { Cache } from './cache.ts'
import type { Counters } from './counters.ts'
import type { Content, Entry, Stamps } from './entry.ts'
import type { Fleet } from './fleet.ts'
import type { Flight, Landing } from './flights.ts'
import { canonical, checkJson, hash32 } from './json.ts'
import { isTag } from './names.ts'
import { ALL, type Missed, type Stored, typeTag, type Wanted } from './reading.ts'
import { type Deadline, putOff } from './tiers.ts'

/** What tells the values of one type apart; JSON, in any order of members. */
export type Filters = Readonly<Record<string, unknown>>

export interface ValueCosts {
  readonly ttlMs: number
  /** TTL of a null. */
  readonly negativeTtlMs: number
}

type RevealTags<T> = (value: T | null) => readonly string[]

export class Values {
  readonly #cache: Cache
  readonly #fleet: Fleet
  readonly #counters: Counters
  readonly #events: Events
  readonly #maxStalenessMs: (type: string) => number

  constructor(options: {
    cache: Cache
    fleet: Fleet
    counters: Counters
    events: Events
    maxStalenessMs: (type: string) => number
  }) {
    this.#cache = options.cache
    this.#fleet = options.fleet
    this.#counters = options.counters
    this.#events = options.events
    this.#maxStalenessMs = options.maxStalenessMs
  }

  async get(type: string, filters: Filters | undefined): Promise<unknown> {
    const wanted = this.#wanted(type, filters, [])
    const found = await this.#find(wanted, this.#cache.deadline(), true)
    if ('value' in found) return found.value
    this.#miss(wanted, false)
    return undefined
  }

  async set(
    type: string,
    value: unknown,
    filters: Filters | undefined,
    ttlMs: number,
    tags: readonly string[],
  ): Promise<void> {
    const content = toContent(value, ttlMs)
    const wanted = this.#wanted(type, filters, tags)
    if (!content)
      throw new OptionError('ERR_VALUE_NOT_JSON', 'value', value, 'a value that JSON can carry (null is one)')
    const missed = await this.#cache.stampsNow(wanted, this.#cache.deadline())
    this.#store(wanted, missed, content, missed.stamps, 'set')
  }

  async wrap<T>(
    type: string,
    filters: Filters | undefined,
    load: () => T | Promise<T>,
    costs: ValueCosts,
    tags: readonly string[] | RevealTags<T>,
  ): Promise<T> {
    const wanted = this.#wanted(type, filters, typeof tags === 'function' ? [] : tags)
    const { clock } = this.#cache.options
    let deadline = this.#cache.deadline()
    for (let waits = 0; ; waits++) {
      // Who has waited is counted as a miss already.
      const found = await this.#find(wanted, deadline, waits === 0)
      if ('value' in found) return found.value as T
      const { flights } = this.#cache.options
      const key = `${type}:${found.hash}`
      // What could not be verified is shared with nobody.
      const mayShare = found.reach !== 'none' && waits < 2
      const joined = mayShare ? flights.find(key, found.stamps) : undefined
      if (!joined) {
        if (waits === 0) this.#miss(wanted, false)
        const flight = mayShare ? flights.lead(key, found.stamps) : undefined
        return await this.#lead(wanted, found, deadline, flight, load, costs, tags)
      }
      if (waits === 0) {
        this.#miss(wanted, true)
        this.#counters.of(type).coalesced++
      }
      const sinceMs = clock.monotonic()
      const landing = await flights.follow(joined)
      deadline = putOff(deadline, clock, sinceMs)
      const isOurs = landing.kind === 'answered' && (await this.#cache.confirm(wanted, landing.entry, deadline))
      if (isOurs) return parse(landing.entry) as T
      if (landing.kind === 'empty') return undefined as T
      if (landing.kind === 'failed') throw landing.error
    }
  }

  async #lead<T>(
    wanted: Wanted,
    missed: Missed,
    deadline: Deadline,
    flight: Flight | undefined,
    load: () => T | Promise<T>,
    costs: ValueCosts,
    tags: readonly string[] | RevealTags<T>,
  ): Promise<T> {
    const turn = await this.#fleet.turn(wanted, missed, deadline)
    const taken = turn.entry && this.#valueOf(wanted, turn.entry)
    if (turn.entry && taken) {
      flight?.land({ kind: 'answered', entry: turn.entry, variant: undefined })
      return taken.value as T
    }
    const done = turn.entry ? undefined : turn.done
    if (flight) this.#cache.options.flights.handlerStarted(flight)
    let landing: Landing = { kind: 'abandoned' }
    let written: Promise<unknown> | undefined
    try {
      const value = await load()
      const content = toContent(value, value === null ? costs.negativeTtlMs : costs.ttlMs)
      if (!content) {
        // What it depends on is not known, so neither is whether it holds for those who came while it was computed.
        if (typeof tags !== 'function') landing = { kind: 'empty' }
        this.#counters.notStoredFor('undefined')
        return value
      }
      const stamps = typeof tags === 'function' ? await this.#reveal(missed, value, tags) : missed.stamps
      const stored = this.#store(wanted, missed, content, stamps, 'load')
      const { entry } = stored
      if (stored.tiers === 'both') written = stored.written
      if (stamps) landing = { kind: 'answered', entry, variant: undefined }
      return parse(entry) as T
    } catch (error) {
      landing = { kind: 'failed', error }
      throw error
    } finally {
      flight?.land(landing)
      done?.(written)
    }
  }

  /** The miss's stamps and one for each tag that the value names; undefined where such a tag may have been raised. */
  async #reveal<T>(missed: Missed, value: T, tagsOf: RevealTags<T>): Promise<Stamps | undefined> {
    let revealed: unknown
    try {
      revealed = tagsOf(value)
    } catch (cause) {
      this.#report(new TierError('ERR_CALLBACK_THREW', 'tags', (cause as Error).message, cause))
      return undefined
    }
    const tags = [...missed.stamps.tags]
    const epochs = [...missed.stamps.epochs]
    const deadline = this.#cache.deadline()
    for (const tag of Array.isArray(revealed) ? revealed : [undefined]) {
      if (!isTag(tag)) {
        this.#report(new TierError('ERR_TAG_NAME', 'tags', `the value yields a malformed tag: ${String(tag)}`))
        return undefined
      }
      if (tags.includes(tag)) continue
      const epoch = await this.#cache.options.epochs.reveal(tag, missed.began, deadline)
      if (epoch === undefined) return undefined
      tags.push(tag)
      epochs.push(epoch)
    }
    return { tags, epochs }
  }

  #report(error: TierError): void {
    this.#counters.errors++
    this.#events.emit('error', error)
  }

  #store(wanted: Wanted, missed: Missed, content: Content, stamps: Stamps | undefined, by: 'load' | 'set'): Stored {
    const stored = stamps
      ? this.#cache.store(wanted, missed, content, stamps)
      : this.#cache.store(wanted, { ...missed, reach: 'none' }, content)
    if (stored.tiers === 'none') this.#counters.notStoredFor(stored.reason)
    else this.#counters.of(wanted.type).stores++
    if (this.#events.has('store')) {
      this.#events.emit('store', {
        type: wanted.type,
        key: `${wanted.type}:${wanted.hash}`,
        tiers: stored.tiers,
        ...(stored.tiers === 'none' ? { reason: stored.reason } : {}),
        bytes: content.body.byteLength,
        ttlMs: content.ttlMs,
        by,
        handlerMs: this.#cache.options.clock.monotonic() - missed.began.atMs,
      })
    }
    return stored
  }

  async #find(wanted: Wanted, deadline: Deadline, counts: boolean): Promise<{ readonly value: unknown } | Missed> {
    const { clock } = this.#cache.options
    const known = this.#cache.find(wanted)
    const isFresh = known && clock.monotonic() < known.staleAtMs
    const reading = isFresh ? ({ entry: known, tier: 'memory' } as const) : await this.#cache.read(wanted, deadline)
    if (!('entry' in reading)) return reading
    const found = this.#valueOf(wanted, reading.entry)
    if (!found) return this.#cache.missedAsKnown(wanted)
    if (counts) this.#hit(wanted, reading.entry, reading.tier)
    return found
  }

  /** A fresh copy; undefined where somebody has damaged its bytes in the shared tier. */
  #valueOf(wanted: Wanted, entry: Entry): { readonly value: unknown } | undefined {
    try {
      return { value: parse(entry) }
    } catch {
      const { memory, onError } = this.#cache.options
      memory.delete(wanted.type, wanted.hash)
      onError('ERR_ENTRY_CORRUPT', 'lookup', `the value of ${wanted.type}:${wanted.hash} is no JSON`)
      return undefined
    }
  }

  #miss(wanted: Wanted, collapsed: boolean): void {
    this.#counters.of(wanted.type).misses++
    if (!this.#events.has('miss')) return
    this.#events.emit('miss', { type: wanted.type, key: `${wanted.type}:${wanted.hash}`, collapsed })
  }

  #hit(wanted: Wanted, entry: Entry, tier: 'memory' | 'redis'): void {
    this.#counters.of(wanted.type).hits++
    entry.hits++
    if (this.#events.has('hit')) {
      const ageMs = this.#cache.options.clock.monotonic() - entry.storedAtMs
      this.#events.emit('hit', { type: wanted.type, key: `${wanted.type}:${wanted.hash}`, tier, ageMs })
    }
  }

  #wanted(type: string, filters: Filters | undefined, tags: readonly string[]): Wanted {
    return {
      type,
      hash: hashFilters(filters),
      tags: [...new Set([typeTag(type), ALL, ...tags])],
      maxStalenessMs: this.#maxStalenessMs(type),
      accepts: undefined,
    }
  }
}

/** 32 hex over the filters in any order; none equals `{}`. Throws OptionError or ValueError. */
export function hashFilters(filters: Filters | undefined): string {
  if (filters === undefined) return hash32('{}')
  if (typeof filters !== 'object' || filters === null || Array.isArray(filters)) {
    throw new OptionError('ERR_OPTION_TYPE', 'filters', filters, 'an object')
  }
  return hash32(canonical(filters))
}

function toContent(value: unknown, ttlMs: number): Content | undefined {
  checkJson(value)
  const text = JSON.stringify(value)
  if (text === undefined) return undefined
  return {
    kind: 'value',
    body: Buffer.from(text),
    status: 0,
    headers: [],
    removed: [],
    vary: [],
    shareable: false,
    ttlMs,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
    initialAgeMs: 0,
  }
}

function parse(entry: Entry): unknown {
  return JSON.parse(entry.body.toString('utf8'))
}
