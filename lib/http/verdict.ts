/*
 * From what was sent to what may be stored: the content for an entry, or the reason why there is none.
 */
import type { Content } from '../cache/entry.ts'
import type { Draft } from './draft.ts'
import type { RouteOptions } from './route-options.ts'
import { ageOf, allowsCredentials, forbidden, freshnessMs, mayBeServedStale, parseCacheControl } from './storable.ts'

export interface Circumstances {
  /** The credential that no scope spoke for when the request came. */
  readonly credential: string | undefined
  /** Somebody was authenticated after we were entered, though no scope knows of it. */
  readonly hasLateUser: boolean
  readonly setsCookie: boolean
  readonly encodedBehindUs: boolean
  readonly requestNoStore: boolean
  readonly nowMs: number
  readonly random: number
}

export interface Verdict {
  /** Why it is not stored. */
  readonly reason: string | undefined
  /** Whether those who waited for this answer may have it. */
  readonly mayShare: boolean
  readonly content: Content
}

export function judge(draft: Draft, route: RouteOptions, about: Circumstances): Verdict {
  const directives = parseCacheControl(draft.head.get('cache-control'))
  const own = route.honoursResponse ? freshnessMs(directives, draft.head, about.nowMs) : undefined
  const initialAgeMs = ageOf(draft.head)
  const honouredMs = own === undefined ? route.ttlMs : Math.min(route.ttlMs, own - initialAgeMs)
  const ttlMs = honouredMs * (1 - route.jitter * about.random)
  const mayBeStale = mayBeServedStale(directives)
  const shareable = allowsCredentials(directives)
  const content: Content = {
    kind: 'response',
    body: draft.body,
    status: draft.status,
    headers: draft.headers,
    removed: draft.removed,
    vary: draft.vary === '*' ? [] : draft.vary,
    shareable,
    ttlMs: Math.max(0, ttlMs),
    staleWhileRevalidateMs: mayBeStale ? route.staleWhileRevalidateMs : 0,
    staleIfErrorMs: mayBeStale ? route.staleIfErrorMs : 0,
    initialAgeMs,
  }
  const unshareable = whyUnshareable(draft, about, shareable, ownByDirective(route, directives))
  const reason = unshareable ?? whyNotStored(draft, route, directives, ttlMs)
  // RFC 9111 section 4: what must be validated before each use answers nobody else.
  const mayShare = !unshareable && reason !== 'no-cache' && reason !== 'ttl' && !ABOUT_THE_CALLER.has(draft.status)
  return { reason, mayShare, content }
}

/** Answers about who asked, not about what was asked for. */
const ABOUT_THE_CALLER = new Set([401, 403, 407, 429])

type Directives = ReturnType<typeof parseCacheControl>

function ownByDirective(route: RouteOptions, directives: Directives): string | undefined {
  const reason = forbidden(directives)
  return route.honoursResponse && (reason === 'private' || reason === 'no-store') ? reason : undefined
}

/** What makes an answer somebody's own. */
function whyUnshareable(
  draft: Draft,
  about: Circumstances,
  shareable: boolean,
  cacheControl: string | undefined,
): string | undefined {
  if (about.setsCookie || draft.head.get('set-cookie') !== undefined) return 'set-cookie'
  if (cacheControl !== undefined) return cacheControl
  if (about.credential !== undefined && !shareable) return about.credential
  if (about.hasLateUser && !shareable) return 'user-after-cache'
  if (about.requestNoStore) return 'request-no-store'
  if (draft.vary === '*') return 'vary'
  if (draft.head.get('content-encoding') !== undefined || about.encodedBehindUs) return 'content-encoding'
  return undefined
}

function whyNotStored(draft: Draft, route: RouteOptions, directives: Directives, ttlMs: number): string | undefined {
  if (draft.status === 206 || draft.status === 304 || draft.head.get('content-range') !== undefined) return 'partial'
  if (!route.status.has(draft.status)) return 'status'
  // Section 5.2.2.3: for caches that know what the status asks of them.
  if (route.honoursResponse && directives.has('must-understand') && !UNDERSTOOD.has(draft.status)) return 'status'
  if (route.honoursResponse && directives.has('no-cache')) return 'no-cache'
  return ttlMs > 0 ? undefined : 'ttl'
}

/** Final statuses of RFC 9110 that ask nothing more of a cache than to repeat them. */
const UNDERSTOOD = new Set([
  200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410,
  411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505,
])
