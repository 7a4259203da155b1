/*
 * Why a request is, or is not, answered from the cache: the middleware's own decision as data. Looks, and changes nothing.
 */
import type { Cache } from '../cache/cache.ts'
import { ageMs, type Entry } from '../cache/entry.ts'
import type { Wanted } from '../cache/reading.ts'
import type { Decider, Decision } from './decision.ts'
import type { CacheRequest } from './exchange.ts'
import type { RouteOptions } from './route-options.ts'

export interface ExplainedStamp {
  readonly tag: string
  /** The epoch that the entry was computed under, and the one that this worker knows: 0 when it has forgotten the tag. */
  readonly epoch: number
  readonly current: number
  /** Whether the current one may be believed without asking Redis. */
  readonly known: boolean
}

export interface ExplainedEntry {
  readonly status: number
  readonly bytes: number
  readonly ageSeconds: number
  /** Seconds of freshness left; negative past it. */
  readonly ttlSeconds: number
  /** Whether every stamp is current: false means that an invalidation has overtaken it. */
  readonly valid: boolean
  readonly stamps: readonly ExplainedStamp[]
}

/**
 * `hit` and `stale`: from this worker's memory. `verify`: in memory, after asking Redis for epochs. `miss`: not in this
 * worker's memory (it may be in Redis). `bypass`: the cache is left out, for `reason`. `pass`: not a method that it serves.
 */
export interface Explanation {
  readonly outcome: 'hit' | 'stale' | 'verify' | 'miss' | 'bypass' | 'pass'
  readonly reason?: string
  readonly type: string
  /** In Redis, with the prefix. */
  readonly key?: string
  /** `public`, `shared` (a function gave a group), `credentials` (no scope: only entries marked shareable count), `none`. */
  readonly scope: 'public' | 'shared' | 'credentials' | 'none'
  /** Names of query parameters that are part of the key, and of those that are left out of it. */
  readonly parameters: { readonly used: readonly string[]; readonly ignored: readonly string[] }
  /** Request headers that are part of the key. */
  readonly vary: readonly string[]
  readonly tags: readonly string[]
  readonly ttlSeconds: number
  readonly entry?: ExplainedEntry
}

export function explain(
  req: CacheRequest,
  route: RouteOptions,
  decider: Decider,
  cache: Cache,
  keyOf: (type: string, hash: string) => string,
): Explanation {
  const names = typeof req.query === 'object' && req.query !== null ? Object.keys(req.query) : []
  const about = {
    type: route.type,
    scope: route.scope === 'public' ? ('public' as const) : ('none' as const),
    parameters: {
      used: names.filter((name) => !route.ignore.has(name)).sort(),
      ignored: names.filter((name) => route.ignore.has(name)).sort(),
    },
    vary: route.vary,
    tags: [] as readonly string[],
    ttlSeconds: route.ttlMs / 1000,
  }
  if (req.method !== 'GET' && req.method !== 'HEAD') return { ...about, outcome: 'pass', reason: 'method' }
  const decision = decider.decide(req)
  if (typeof decision === 'string') return { ...about, outcome: 'bypass', reason: decision }
  const { wanted } = decision
  const { hash, entry, found } = look(wanted, cache)
  const explained = entry?.kind === 'response' ? explainEntry(entry, wanted, cache) : undefined
  return {
    ...about,
    scope: scopeOf(route, decision),
    vary: [...new Set([...route.vary, ...(entry?.vary ?? [])])],
    tags: wanted.tags,
    key: keyOf(route.type, hash),
    ...outcomeOf(decision, found, explained, cache.options.clock.monotonic()),
    ...(explained ? { entry: explained } : {}),
  }
}

interface Looked {
  readonly hash: string
  readonly entry: Entry | undefined
  /** The entry, where this request would be answered with it at once. */
  readonly found: Entry | undefined
}

/** As `find` of the cache, but it leaves no trace: no record is made, no entry counts as used, Redis is not asked ahead. */
function look(wanted: Wanted, cache: Cache): Looked {
  const { type, hash, tags, maxStalenessMs } = wanted
  const { memory, epochs, clock } = cache.options
  const nowMs = clock.monotonic()
  const covers = (entry: Entry): boolean => tags.every((tag) => entry.tags.includes(tag))
  const isKnown = (tag: string): boolean => {
    const record = epochs.peek(tag)
    return record !== undefined && epochs.isKnown(record, nowMs, maxStalenessMs)
  }
  const base = memory.peek(type, hash)
  const isVaried = base?.kind === 'vary' && isCurrent(base, cache)
  const at = isVaried ? (wanted.variant?.(base.vary) ?? hash) : hash
  const entry = at === hash ? base : memory.peek(type, at)
  const isFound =
    entry !== undefined &&
    entry.kind !== 'vary' &&
    (entry === base || (base !== undefined && covers(base))) &&
    (wanted.accepts?.(entry) ?? true) &&
    isCurrent(entry, cache) &&
    entry.tags.every(isKnown) &&
    covers(entry)
  return { hash: at, entry, found: isFound ? entry : undefined }
}

function isCurrent(entry: Entry, cache: Cache): boolean {
  return entry.tags.every((tag, i) => cache.options.epochs.peek(tag)?.epoch === entry.epochs[i])
}

function scopeOf(route: RouteOptions, decision: Decision): Explanation['scope'] {
  if (route.scope === 'public') return 'public'
  if (route.scope !== undefined) return 'shared'
  return decision.credential === undefined ? 'none' : 'credentials'
}

function outcomeOf(
  decision: Decision,
  found: Entry | undefined,
  explained: ExplainedEntry | undefined,
  nowMs: number,
): Pick<Explanation, 'outcome' | 'reason'> {
  if (decision.refresh) return { outcome: 'miss', reason: 'refresh' }
  if (found && nowMs < found.staleAtMs) return { outcome: 'hit' }
  if (found && nowMs < found.staleAtMs + found.staleWhileRevalidateMs) return { outcome: 'stale', reason: 'expired' }
  if (decision.credential !== undefined) return { outcome: 'bypass', reason: decision.credential }
  if (!explained) return { outcome: 'miss', reason: 'not in memory' }
  if (!explained.valid) return { outcome: 'miss', reason: 'invalidated' }
  if (explained.ttlSeconds <= 0) return { outcome: 'miss', reason: 'expired' }
  if (explained.stamps.some((stamp) => !stamp.known)) return { outcome: 'verify', reason: 'epochs not verified lately' }
  return { outcome: 'miss', reason: 'not for this request' }
}

function explainEntry(entry: Entry, wanted: Wanted, cache: Cache): ExplainedEntry {
  const { clock, epochs } = cache.options
  const nowMs = clock.monotonic()
  return {
    status: entry.status,
    bytes: entry.body.byteLength,
    ageSeconds: Math.floor(ageMs(entry, nowMs) / 1000),
    ttlSeconds: (entry.staleAtMs - nowMs) / 1000,
    valid: isCurrent(entry, cache),
    stamps: entry.tags.map((tag, i) => {
      const record = epochs.peek(tag)
      return {
        tag,
        epoch: entry.epochs[i] ?? 0,
        current: record?.epoch ?? 0,
        known: record !== undefined && epochs.isKnown(record, nowMs, wanted.maxStalenessMs),
      }
    }),
  }
}
