/*
 * The figures of one second as the page gets them, bounded in bytes whatever the cache holds: rows that do not fit are left
 * out and counted. A tick stays under 50 KB.
 */
import type { Clock } from '../cache/tiers.ts'
import type { CacheDescription, RouteInfo } from '../description.ts'
import type { TypeStats } from '../stats.ts'
import type { Feed } from './feed.ts'
import type { FleetView, FleetWatch } from './fleet-watch.ts'
import type { DashboardCache } from './options.ts'
import type { Sampler } from './sampler.ts'
import type { Snapshot, Tick, TypeRow, WorkerRow } from './wire.ts'

const TYPE_BYTES = 16 * 1024
const MAX_NEIGHBOURS = 64
const EPOCH_BYTES = 6 * 1024
const MAX_EPOCHS = 40
const WORKER_BYTES = 20 * 1024
const ROUTE_BYTES = 64 * 1024
/** A URL that is longer is no example to anybody, and a few of them would leave no room for other routes. */
const MAX_URL = 1024
const INVALIDATION_BYTES = 128 * 1024

export interface TickParts {
  readonly cache: DashboardCache
  readonly clock: Clock
  readonly sampler: Sampler
  readonly feed: Feed
  readonly fleet: FleetWatch
}

export function makeTick(parts: TickParts, leftOut: number): Tick {
  return tickOf(parts, leftOut, parts.cache.describe())
}

/** What a page begins with. `own` is what is different for each: the token, and what it may. */
export function makeSnapshot(parts: TickParts, own: Pick<Snapshot, 'token' | 'may'>): Snapshot {
  const description = parts.cache.describe()
  const { worker, version, prefix, routes } = description
  return {
    ...tickOf(parts, 0, description),
    worker,
    version,
    prefix,
    ...own,
    history: parts.sampler.history,
    invalidations: fitting(parts.feed.latest(), INVALIDATION_BYTES),
    routes: fitting(routes.map(withoutLongUrl), ROUTE_BYTES),
  }
}

function tickOf({ cache, clock, sampler, fleet }: TickParts, leftOut: number, description: CacheDescription): Tick {
  const stats = cache.stats()
  const { types, ttls: _ttls, ...rest } = stats
  const rows = typeRows(types, description)
  const { redis } = stats
  const { roundTripMs } = sampler
  return {
    atMs: clock.now(),
    stats: rest,
    types: fitting(rows, TYPE_BYTES),
    typesTotal: rows.length,
    sample: sampler.latest,
    durations: sampler.durations(),
    savedMs: sampler.savedMs,
    ...(redis && {
      redis: {
        up: redis.connected && !redis.breakerOpen,
        breakerOpen: redis.breakerOpen,
        subscribed: stats.subscribed,
        ...(roundTripMs === undefined ? {} : { roundTripMs }),
      },
    }),
    epochs: {
      total: description.epochs.total,
      shown: fitting(description.epochs.shown.slice(0, MAX_EPOCHS), EPOCH_BYTES),
    },
    invalidationsLeftOut: leftOut,
    ...(redis && fleetOf(fleet)),
  }
}

function withoutLongUrl({ lastUrl, ...route }: RouteInfo): RouteInfo {
  return lastUrl === undefined || lastUrl.length > MAX_URL ? route : { ...route, lastUrl }
}

/** Types that are configured or were asked for, the busiest first. */
function typeRows(counted: Readonly<Record<string, TypeStats>>, { types }: CacheDescription): TypeRow[] {
  const known = new Map(types.map((type) => [type.type, type]))
  const names = new Set([...known.keys(), ...Object.keys(counted)])
  const rows = [...names].map((type) => {
    const of = counted[type]
    const info = known.get(type)
    return {
      type,
      ...(info ? { ttlSeconds: info.ttlSeconds } : {}),
      entries: of?.entries ?? 0,
      bytes: of?.bytes ?? 0,
      hits: of?.hits ?? 0,
      misses: of?.misses ?? 0,
      stale: of?.stale ?? 0,
      hitRate: of?.hitRate ?? 0,
      invalidations: of?.invalidations ?? 0,
      dependsOn: info?.dependsOn.slice(0, MAX_NEIGHBOURS) ?? [],
      dependents: info?.dependents.slice(0, MAX_NEIGHBOURS) ?? [],
    }
  })
  return rows.sort((a, b) => b.hits + b.misses - a.hits - a.misses || (a.type < b.type ? -1 : 1))
}

function fleetOf(watch: FleetWatch): Pick<Tick, 'fleet'> {
  const { view, ageMs } = watch
  if (!view) return { fleet: { known: false, total: 0, hits: 0, misses: 0, hitRate: 0, workers: [] } }
  const hits = view.workers.reduce((sum, worker) => sum + worker.hits, 0)
  const misses = view.workers.reduce((sum, worker) => sum + worker.misses, 0)
  return {
    fleet: {
      known: view.known,
      total: view.workers.length,
      hits,
      misses,
      hitRate: hits + misses === 0 ? 0 : hits / (hits + misses),
      workers: fitting(
        view.workers.map((worker) => workerRow(worker, ageMs)),
        WORKER_BYTES,
      ),
    },
  }
}

/** Without the figures that the page does not show. */
function workerRow(worker: FleetView['workers'][number], ageMs: number): WorkerRow {
  const { redisHits: _h, redisMisses: _m, stores: _s, evictions: _e, ...row } = worker
  return { ...row, beatMsAgo: row.beatMsAgo + ageMs }
}

/** As many rows, from the first, as fit into so many bytes of JSON; one that is too long on its own hides no others. */
function fitting<T>(rows: readonly T[], maxBytes: number): readonly T[] {
  let left = maxBytes
  return rows.filter((row) => {
    const bytes = Buffer.byteLength(JSON.stringify(row)) + 1
    if (bytes > left) return false
    left -= bytes
    return true
  })
}
