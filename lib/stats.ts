/*
 * What `stats()` returns: plain data, made when asked for. Counters are those of cache/counters.ts, in words there.
 */
import type { Counters, TypeCounters } from './cache/counters.ts'
import type { Epochs } from './cache/epochs.ts'
import type { ResolvedOptions } from './options.ts'
import type { Memory } from './tiers/memory.ts'
import type { RedisTier } from './tiers/redis.ts'
import type { Subscriber } from './tiers/subscriber.ts'

export interface TypeStats extends TypeCounters {
  readonly hitRate: number
  readonly entries: number
  readonly bytes: number
}

/** How the way to Redis is. Round trips are those that were answered, since the cache was made. */
export interface RedisStats {
  /** Whether the client says that it is connected. */
  readonly connected: boolean
  /** Whether Redis is left alone, and probed in the background. */
  readonly breakerOpen: boolean
  readonly roundTrips: number
  /** Milliseconds, all of them together. */
  readonly roundTripMs: number
}

/** hits + misses + bypasses = requests. Rates are 0 to 1, and 0 where nothing was asked. `ttls` in seconds. */
export interface RegistryCacheStats {
  readonly enabled: boolean
  readonly hits: number
  readonly misses: number
  readonly hitRate: number
  readonly redisHits: number
  readonly redisMisses: number
  readonly redisHitRate: number
  /** Whether requests may use Redis now; false without one. */
  readonly redisAvailable: boolean
  /** Whether messages of other workers arrive now. */
  readonly subscribed: boolean
  /** Invalidations that Redis has not been told yet. */
  readonly pendingInvalidations: number
  readonly entries: number
  readonly bytes: number
  readonly evictions: number
  readonly stores: number
  readonly invalidations: number
  /**
   * Tags raised, dependent ones included, by what raised them: `api`, `route`, `foreign` (a publisher of the older system),
   * `repair` (of what Redis lost) or `worker` (another one).
   */
  readonly invalidationsBy: Readonly<Record<string, number>>
  readonly coalesced: number
  readonly stale: number
  readonly bypasses: Readonly<Record<string, number>>
  readonly notStored: Readonly<Record<string, number>>
  readonly errors: number
  /** Undefined in a cache without Redis. */
  readonly redis: RedisStats | undefined
  /** Tags whose epoch this worker keeps, and how many of these it would ask Redis about before it believes them. */
  readonly epochs: { readonly tags: number; readonly unknown: number }
  readonly ttls: Readonly<Record<string, number>>
  readonly types: Readonly<Record<string, TypeStats>>
}

/** What `counts()` returns. */
export type RegistryCacheCounts = Omit<RegistryCacheStats, 'epochs'>

export interface StatsParts {
  readonly options: ResolvedOptions
  readonly counters: Counters
  readonly memory: Memory
  readonly redis: RedisTier | undefined
  readonly subscriber: Subscriber | undefined
  readonly epochs: Epochs
}

export function statsOf(parts: StatsParts): RegistryCacheStats {
  const { epochs, options } = parts
  return { ...countsOf(parts), epochs: { tags: epochs.size, unknown: epochs.unknown(options.maxStalenessMs) } }
}

/** All but the epochs, which are thousands where tags are many. */
export function countsOf(parts: StatsParts): RegistryCacheCounts {
  const { options, counters, memory, redis, subscriber, epochs } = parts
  const usage = memory.usage()
  // Not members one by one: `__proto__` is a type like others.
  const types = new Map<string, TypeStats>()
  const sums = { hits: 0, misses: 0, stale: 0, coalesced: 0, stores: 0, evictions: 0 }
  for (const [type, counted] of counters.types) {
    types.set(type, {
      ...counted,
      hitRate: rate(counted.hits, counted.misses),
      entries: usage.get(type)?.entries ?? 0,
      bytes: usage.get(type)?.bytes ?? 0,
    })
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += counted[name]
  }
  return {
    enabled: options.enabled,
    ...sums,
    hitRate: rate(sums.hits, sums.misses),
    redisHits: counters.redisHits,
    redisMisses: counters.redisMisses,
    redisHitRate: rate(counters.redisHits, counters.redisMisses),
    redisAvailable: redis?.isUp() ?? false,
    subscribed: subscriber?.isLive ?? false,
    pendingInvalidations: epochs.pendingRaises,
    entries: memory.entries,
    bytes: memory.bytes,
    invalidations: counters.invalidations,
    invalidationsBy: Object.fromEntries(counters.invalidationsBy),
    bypasses: Object.fromEntries(counters.bypasses),
    notStored: Object.fromEntries(counters.notStored),
    errors: counters.errors,
    redis: redis && {
      connected: redis.isConnected,
      breakerOpen: !redis.isUp(),
      roundTrips: redis.roundTrips.count,
      roundTripMs: redis.roundTrips.totalMs,
    },
    ttls: Object.fromEntries([...options.types].map(([type, { ttlMs }]) => [type, ttlMs / 1000])),
    types: Object.fromEntries(types),
  }
}

function rate(hits: number, misses: number): number {
  return hits + misses === 0 ? 0 : hits / (hits + misses)
}
