/*
 * The JSON that the dashboard's server and page speak: docs/dashboard.md in types. Times are milliseconds of the wall clock
 * unless they say otherwise; ids and keys are opaque to the page.
 *
 *   GET  ./                               page/index.html; its relative URLs need the slash, so a path without one is redirected
 *   GET  *.js *.css *.svg vendor/*        the other files of page/ (page-folder.js says where they are); names hold no `..`
 *   GET  api/snapshot                     Snapshot
 *   GET  api/events                       server-sent events: `snapshot` (Snapshot, on connect), then each second `tick` (Tick),
 *                                         and `invalidation` (Invalidation) as they come, bounded to so many a second
 *   GET  api/entries?type&search&limit&cursor   EntryPage
 *   GET  api/entries/preview?key          Preview (a permission of its own)
 *   POST api/explain      {method,url,headers,route?}   Explained
 *   POST api/invalidate   {type} | {tag} | {all:true}   Invalidated
 *   POST api/evict        {key}                          Evicted
 *
 * POSTs carry the token of `Snapshot.token` in X-CSRF-Token and come from the same origin. A failure is
 * `{error: {code, message}}` with 400, 403, 404, 405, 413, 415, 500 or 503.
 *
 * Behind one port of several workers the stream and a POST may reach different ones: the token is good on each of them, and
 * every answer under api/ names its worker in X-Cache-Worker, so that the page can say whose entries it shows.
 * The page keeps to `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';
 * form-action 'none'; frame-ancestors 'none'`.
 */
import type { Explanation } from '../http/explain.ts'
import type { RegistryCacheStats } from '../stats.ts'
import type { FleetWorker } from '../tiers/fleet-view.ts'

export type {
  EntryEvicted as Evicted,
  EntryInfo as EntryRow,
  EntryPage,
  EntryPreview as Preview,
} from '../inspection.ts'

/** One second of this worker. Counts are of that step alone; `hits` include the stale ones, as in `stats()`. */
export interface Sample {
  readonly atMs: number
  readonly seconds: number
  readonly hits: number
  readonly misses: number
  readonly stale: number
  readonly bypasses: number
}

/** Milliseconds over the last minutes; undefined where nothing was measured. */
export interface Durations {
  readonly count: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}

export interface TypeRow {
  readonly type: string
  /** Undefined for a type that is not configured: the cache's default, or what its routes say. */
  readonly ttlSeconds?: number
  readonly entries: number
  readonly bytes: number
  readonly hits: number
  readonly misses: number
  readonly stale: number
  readonly hitRate: number
  readonly invalidations: number
  /** Direct ones, at most 64: invalidating `dependsOn` invalidates this type too. */
  readonly dependsOn: readonly string[]
  readonly dependents: readonly string[]
}

export interface EpochRow {
  readonly tag: string
  readonly epoch: number
  /** Since Redis confirmed it; undefined when never, or in a cache without Redis. */
  readonly verifiedMsAgo?: number
  readonly known: boolean
  readonly pending: boolean
}

/** As the worker's heartbeat says it, but for what the page does not show. */
export type WorkerRow = Omit<FleetWorker, 'redisHits' | 'redisMisses' | 'stores' | 'evictions'>

export interface Invalidation {
  readonly id: number
  readonly atMs: number
  readonly tag: string
  /** `api`, `foreign`, `repair`, `pending` or `METHOD:route`. */
  readonly cause: string
  readonly worker: string
  readonly own: boolean
}

/** What changes from second to second. */
export interface Tick {
  readonly atMs: number
  /** TTLs are in `types`. */
  readonly stats: Omit<RegistryCacheStats, 'types' | 'ttls'>
  /** Most requested first; those beyond the bound of a tick (16 KB of rows) are only counted. */
  readonly types: readonly TypeRow[]
  readonly typesTotal: number
  readonly sample: Sample
  readonly durations: { readonly hit: Durations; readonly handler: Durations }
  /** Handler time that hits did not spend, since the start: per type, hits times (mean handler time - mean hit time). */
  readonly savedMs: number
  readonly redis?: {
    readonly up: boolean
    readonly breakerOpen: boolean
    readonly subscribed: boolean
    readonly roundTripMs?: number
  }
  readonly epochs: { readonly total: number; readonly shown: readonly EpochRow[] }
  /** Invalidations of the last second that were not sent one by one, since there were too many. */
  readonly invalidationsLeftOut: number
  /** `undefined`: no Redis, so this worker is alone. `known: false`: Redis did not answer; the rows are the last that were seen. */
  readonly fleet?: {
    readonly known: boolean
    readonly total: number
    readonly hits: number
    readonly misses: number
    readonly hitRate: number
    /** Those beyond the bound of a tick (20 KB of rows) only count in the sums. */
    readonly workers: readonly WorkerRow[]
  }
}

export interface Snapshot extends Tick {
  readonly worker: string
  readonly version: string
  readonly prefix: string
  readonly token: string
  readonly may: { readonly invalidate: boolean; readonly preview: boolean }
  /** Oldest first, at most 900. */
  readonly history: readonly Sample[]
  /** Newest first, at most 200. */
  readonly invalidations: readonly Invalidation[]
  /** Routes made by `cache.middleware`, for `explain`. */
  readonly routes: readonly {
    readonly id: string
    readonly type: string
    readonly scope: string
    readonly front: boolean
    /** Left out when it has more than 1,024 characters. */
    readonly lastUrl?: string
  }[]
}

export interface Explained {
  readonly route: string
  readonly explanation: Explanation
}

export interface Invalidated {
  readonly target: string
  /** Types that went along. */
  readonly dependents: readonly string[]
  readonly shared: boolean
}
