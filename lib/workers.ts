/*
 * The workers of the fleet, as each of them says of itself.
 */
import { hostname } from 'node:os'
import type { RegistryCacheStats } from './stats.ts'
import { VERSION } from './version.ts'

/** One worker. Counts are since its counters were last zeroed. */
export interface FleetWorker {
  readonly id: string
  /** Whether it is the one that was asked. */
  readonly own: boolean
  readonly host: string
  readonly pid: number
  /** Of this package, and of Node. */
  readonly version: string
  readonly node: string
  /** Milliseconds since 1970, by its own clock. */
  readonly startedAtMs: number
  /** Since it last said so. */
  readonly beatMsAgo: number
  /** Whether it heard messages of others then. */
  readonly subscribed: boolean
  readonly hits: number
  readonly misses: number
  readonly stale: number
  readonly bypasses: number
  readonly redisHits: number
  readonly redisMisses: number
  readonly stores: number
  readonly invalidations: number
  readonly evictions: number
  readonly errors: number
  readonly entries: number
  readonly bytes: number
}

export interface FleetView {
  /** False when Redis did not answer: the workers are those that were seen last, and this one. */
  readonly known: boolean
  /** The one that was asked first, then by id. */
  readonly workers: readonly FleetWorker[]
}

export function ownWorker(id: string, startedAtMs: number, stats: RegistryCacheStats): FleetWorker {
  const { hits, misses, stale, redisHits, redisMisses, stores, invalidations, evictions, errors, entries, bytes } =
    stats
  return {
    id,
    own: true,
    host: hostname(),
    pid: process.pid,
    version: VERSION,
    node: process.versions.node,
    startedAtMs,
    beatMsAgo: 0,
    subscribed: stats.subscribed,
    hits,
    misses,
    stale,
    bypasses: Object.values(stats.bypasses).reduce((sum, count) => sum + count, 0),
    redisHits,
    redisMisses,
    stores,
    invalidations,
    evictions,
    errors,
    entries,
    bytes,
  }
}
