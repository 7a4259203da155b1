/*
 * What is counted and told of a hit, in the route and at the front door.
 */
import type { Counters } from '../cache/counters.ts'
import type { Entry } from '../cache/entry.ts'
import type { Clock } from '../cache/tiers.ts'
import type { Events, HitTier } from '../events.ts'
import type { CacheRequest } from './exchange.ts'
import { type Outcome, type Sent, STALE } from './respond.ts'
import type { Seen } from './seen.ts'

export interface HitContext {
  readonly route: { readonly type: string }
  readonly counters: Counters
  readonly events: Events
  readonly clock: Clock
  readonly seen: Seen
}

export interface Hit {
  readonly req: CacheRequest
  /** The key's, without the variant. */
  readonly hash: string
  readonly entry: Entry
  readonly tier: HitTier
  readonly outcome: Outcome
  readonly sent: Sent
  readonly startedAtMs: number
  readonly via: 'route' | 'front'
}

export function countHit(context: HitContext, hit: Hit): void {
  const { counters, events, route, clock, seen } = context
  hit.entry.hits++
  seen.origin = hit.entry.origin
  const isStale = hit.outcome === STALE
  const counted = counters.of(route.type)
  counted.hits++
  if (isStale) counted.stale++
  const name = isStale ? 'stale' : 'hit'
  if (!events.has(name)) return
  const nowMs = clock.monotonic()
  events.emit(name, {
    type: route.type,
    key: `${route.type}:${hit.hash}`,
    tier: hit.tier,
    ageMs: nowMs - hit.entry.storedAtMs,
    method: hit.req.method ?? 'GET',
    url: hit.req.originalUrl ?? hit.req.url ?? '',
    ...hit.sent,
    durationMs: nowMs - hit.startedAtMs,
    via: hit.via,
  })
}
