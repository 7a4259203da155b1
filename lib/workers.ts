/*
 * This worker, as it shows itself to whoever looks at the fleet.
 */
import { hostname } from 'node:os'
import type { RegistryCacheStats } from './stats.ts'
import type { FleetWorker } from './tiers/fleet-view.ts'
import { VERSION } from './version.ts'

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
