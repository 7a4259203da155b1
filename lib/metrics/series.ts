/*
 * The figures of a cache as named series, for whatever exports them: read from `stats()`, so that those read from one call
 * agree with each other. Knows no exporter. Labels are bounded: outcomes, origins and reasons are the code's own, and of types
 * only so many get a name of their own.
 */
import type { RegistryCache } from '../registry-cache.ts'
import type { RegistryCacheStats, TypeStats } from '../stats.ts'

/** What an exporter needs of a cache. */
export type MeteredCache = Pick<RegistryCache, 'stats' | 'on' | 'off'>

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Series {
  /** In snake_case, without prefix, unit and `_total`. */
  readonly name: string
  /** A counter only grows, but for `resetStats()`. */
  readonly kind: 'counter' | 'gauge'
  readonly unit?: 'seconds' | 'bytes'
  readonly help: string
  readonly labels: readonly string[]
  /** How the figures of several workers of one machine come to one. */
  readonly across: 'sum' | 'min' | 'max'
  read(stats: RegistryCacheStats, typeLabels: TypeLabels): Sample[]
}

/** Gives the first types that are met their name, and every further one `other`. A type keeps the label that it got. */
export class TypeLabels {
  readonly #known = new Set<string>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  of(type: string): string {
    if (this.#known.has(type)) return type
    if (this.#known.size >= this.#max) return 'other'
    this.#known.add(type)
    return type
  }
}

/**
 * Every request has exactly one outcome. `miss` is every run of a handler, so one whose failure a stale entry covered stays a
 * miss here (`stats()` makes it a hit afterwards): a counter must not fall.
 */
const OUTCOMES: Readonly<Record<string, (of: TypeStats) => number>> = {
  hit: (of) => of.hits - of.stale,
  stale: (of) => of.stale - of.staleIfError,
  miss: (of) => of.misses - of.coalesced + of.staleIfError,
  collapsed: (of) => of.coalesced,
  bypass: (of) => of.bypasses,
}

export const SERIES: readonly Series[] = [
  {
    name: 'requests',
    kind: 'counter',
    help: 'Requests and value look-ups by how they were answered; each is counted once.',
    labels: ['type', 'outcome'],
    across: 'sum',
    read: (stats, typeLabels) =>
      Object.entries(OUTCOMES).flatMap(([outcome, count]) =>
        byType(stats, typeLabels, count).map(({ labels, value }) => ({ labels: { ...labels, outcome }, value })),
      ),
  },
  counted('stale_if_error', 'Failures of handlers that an expired entry stood in for.', (of) => of.staleIfError),
  counted('stores', 'Answers and values that were stored.', (of) => of.stores),
  counted('evictions', 'Entries that memory gave up for lack of room.', (of) => of.evictions),
  counted(
    'type_invalidations',
    'Times that a type was invalidated, here or by another worker.',
    (of) => of.invalidations,
  ),
  keyed('bypasses', 'reason', 'Requests that left the cache out.', (stats) => stats.bypasses),
  keyed('not_stored', 'reason', 'Answers that were not stored.', (stats) => stats.notStored),
  keyed('invalidations', 'origin', 'Tags invalidated, dependent ones included, by what raised them.', (stats) => ({
    ...NO_INVALIDATIONS,
    ...stats.invalidationsBy,
  })),
  keyed('redis_lookups', 'outcome', 'Look-ups of an entry in Redis.', (stats) =>
    stats.redis ? { hit: stats.redisHits, miss: stats.redisMisses } : {},
  ),
  single('errors', 'counter', 'Failures in Redis or in callbacks of the application.', 'sum', ({ errors }) => errors),
  gaugeByType('entries', 'Entries in memory.', undefined, (of) => of.entries),
  gaugeByType('entry', 'Memory that entries take.', 'bytes', (of) => of.bytes),
  {
    ...single('memory', 'gauge', 'Memory that the cache takes, entries included.', 'sum', ({ bytes }) => bytes),
    unit: 'bytes',
  },
  {
    ...keyed(
      'epochs',
      'state',
      'Tags whose epoch is kept, by whether it is believed without asking Redis.',
      (stats) => ({
        known: stats.epochs.tags - stats.epochs.unknown,
        unknown: stats.epochs.unknown,
      }),
    ),
    kind: 'gauge',
  },
  ofRedis('invalidations_pending', 'gauge', 'Invalidations that Redis was not told yet.', 'sum', (stats) =>
    Number(stats.pendingInvalidations),
  ),
  ofRedis('subscribed', 'gauge', '1 while messages of other workers arrive.', 'min', (stats) =>
    Number(stats.subscribed),
  ),
  ofRedis('redis_up', 'gauge', '1 while Redis is connected and requests use it.', 'min', (_stats, redis) =>
    Number(redis.connected && !redis.breakerOpen),
  ),
  ofRedis('redis_connected', 'gauge', '1 while the client is connected to Redis.', 'min', (_stats, redis) =>
    Number(redis.connected),
  ),
  ofRedis('redis_breaker_open', 'gauge', '1 while requests leave Redis alone after failures.', 'max', (_stats, redis) =>
    Number(redis.breakerOpen),
  ),
  ofRedis(
    'redis_round_trips',
    'counter',
    'Round trips to Redis that were answered.',
    'sum',
    (_s, redis) => redis.roundTrips,
  ),
  {
    ...ofRedis(
      'redis_round_trip',
      'counter',
      'Time that answered round trips to Redis took.',
      'sum',
      (_stats, redis) => redis.roundTripMs / 1000,
    ),
    unit: 'seconds',
  },
]

/** Every origin is there from the start: a series that appears with its first event hides that event from `rate()`. */
const NO_INVALIDATIONS = { api: 0, route: 0, foreign: 0, repair: 0, worker: 0 }

function byType(stats: RegistryCacheStats, typeLabels: TypeLabels, count: (of: TypeStats) => number): Sample[] {
  const sums = new Map<string, number>()
  for (const [type, of] of Object.entries(stats.types)) {
    const label = typeLabels.of(type)
    sums.set(label, (sums.get(label) ?? 0) + count(of))
  }
  return [...sums].map(([type, value]) => ({ labels: { type }, value }))
}

function counted(name: string, help: string, count: (of: TypeStats) => number): Series {
  return { ...gaugeByType(name, help, undefined, count), kind: 'counter' }
}

function gaugeByType(name: string, help: string, unit: 'bytes' | undefined, count: (of: TypeStats) => number): Series {
  const read = (stats: RegistryCacheStats, typeLabels: TypeLabels): Sample[] => byType(stats, typeLabels, count)
  return { name, kind: 'gauge', help, labels: ['type'], across: 'sum', read, ...(unit === undefined ? {} : { unit }) }
}

function keyed(
  name: string,
  label: string,
  help: string,
  counts: (stats: RegistryCacheStats) => Readonly<Record<string, number>>,
): Series {
  const read = (stats: RegistryCacheStats): Sample[] =>
    Object.entries(counts(stats)).map(([key, value]) => ({ labels: { [label]: key }, value }))
  return { name, kind: 'counter', help, labels: [label], across: 'sum', read }
}

function single(
  name: string,
  kind: Series['kind'],
  help: string,
  across: Series['across'],
  figure: (stats: RegistryCacheStats) => number,
): Series {
  return { name, kind, help, labels: [], across, read: (stats) => [{ labels: {}, value: figure(stats) }] }
}

/** A figure that a cache without Redis does not have. */
function ofRedis(
  name: string,
  kind: Series['kind'],
  help: string,
  across: Series['across'],
  figure: (stats: RegistryCacheStats, redis: NonNullable<RegistryCacheStats['redis']>) => number,
): Series {
  const read = (stats: RegistryCacheStats): Sample[] =>
    stats.redis ? [{ labels: {}, value: figure(stats, stats.redis) }] : []
  return { name, kind, help, labels: [], across, read }
}
