/*
 * What RFC 9111 says about storing and reusing, as small pure functions. Each names its section.
 */

/** Directives by lower-case name; those without an argument hold ''. Of a repeated one the first counts, unless they differ. */
export type Directives = ReadonlyMap<string, string>

const NONE: Directives = new Map()

/** Cache-Control as one string or several lines (section 5.2). Quoted commas are no separators; names in any case. */
export function parseCacheControl(value: string | readonly string[] | number | undefined): Directives {
  if (value === undefined || value === '') return NONE
  const text = Array.isArray(value) ? value.join(',') : String(value)
  const directives = new Map<string, string>()
  for (const [, name = '', quoted, token] of text.matchAll(
    /([^\s,;="]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^,\s]*)))?/g,
  )) {
    const key = name.toLowerCase()
    const argument = quoted === undefined ? (token ?? '') : quoted.replace(/\\(.)/g, '$1')
    const before = directives.get(key)
    // Conflicting arguments: the shorter one, or an unusable one, is the careful choice (section 4.2.1).
    if (before === undefined || shorter(argument, before)) directives.set(key, argument)
  }
  return directives
}

function shorter(argument: string, than: string): boolean {
  return (toSeconds(argument) ?? -1) < (toSeconds(than) ?? -1)
}

/** delta-seconds (section 1.2.2): a non-negative integer; beyond 2^31 it counts as 2^31. */
export function toSeconds(argument: string | undefined): number | undefined {
  return argument !== undefined && /^\d+$/.test(argument) ? Math.min(Number(argument), 2 ** 31) : undefined
}

/** Date.parse takes far more than these. */
const HTTP_DATE =
  /^(?:[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT|[A-Z][a-z]{5,8}, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})$/

/** An HTTP date in any of its three forms (RFC 9110 section 5.6.7), as milliseconds. */
export function toTime(value: unknown): number | undefined {
  if (typeof value !== 'string' || !HTTP_DATE.test(value)) return undefined
  const time = Date.parse(/ GMT$/.test(value) ? value : `${value} GMT`)
  return Number.isNaN(time) ? undefined : time
}

export interface ResponseHead {
  readonly status: number
  get(name: string): string | readonly string[] | undefined
}

/** What the response itself says about its freshness, in milliseconds: s-maxage, else max-age, else Expires - Date (section 4.2.1). */
export function freshnessMs(directives: Directives, head: ResponseHead, nowMs: number): number | undefined {
  for (const name of ['s-maxage', 'max-age']) {
    const argument = directives.get(name)
    // An unusable value counts as stale (section 4.2.1).
    if (argument !== undefined) return (toSeconds(argument) ?? 0) * 1000
  }
  const expires = head.get('expires')
  if (expires === undefined) return undefined
  const expiresAt = toTime(expires)
  return expiresAt === undefined ? 0 : Math.max(0, expiresAt - (toTime(head.get('date')) ?? nowMs))
}

/** The Age that the response came with (section 5.1), in milliseconds: of a list the first counts, an unusable one is ignored. */
export function ageOf(head: ResponseHead): number {
  const [first] = String(head.get('age') ?? '').split(',')
  return (toSeconds(first?.trim()) ?? 0) * 1000
}

/** A shared cache may store the answer to a request with Authorization only where the response allows it (section 3.5). */
export function allowsCredentials(directives: Directives): boolean {
  // "no-cache, no-store, must-revalidate" is no permission, where `responseCacheControl: 'ignore'` lets it be stored.
  if (forbidden(directives) !== undefined) return false
  return directives.has('public') || directives.has('s-maxage') || directives.has('must-revalidate')
}

/** Whether it may be served past its freshness at all (sections 4.2.4, 5.2.2.2, 5.2.2.8). */
export function mayBeServedStale(directives: Directives): boolean {
  return !['must-revalidate', 'proxy-revalidate', 'no-cache', 's-maxage'].some((name) => directives.has(name))
}

/** Why the response must not be stored, as far as Cache-Control says so (section 3), or undefined. */
export function forbidden(directives: Directives): 'no-store' | 'private' | 'no-cache' | undefined {
  for (const name of ['no-store', 'private', 'no-cache'] as const) if (directives.has(name)) return name
  return undefined
}

/** application/json, or any type with the +json suffix (RFC 6839 section 3.1). */
export function isJsonType(type: unknown): boolean {
  return typeof type === 'string' && /^\s*application\/(?:json|[^;\s]+\+json)\s*(?:;|$)/i.test(type)
}

/** The names in a Vary header, lower case; `*` when it is anywhere in it (section 4.1). */
export function varyNames(value: string | readonly string[] | number | undefined): readonly string[] | '*' {
  if (value === undefined) return []
  const text = Array.isArray(value) ? value.join(',') : String(value)
  const names = text
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
  return names.includes('*') ? '*' : names
}

/** Headers of one connection (RFC 9110 section 7.6.1), and those that are made anew for each answer. */
const NEVER_REPLAYED = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'set-cookie',
  'content-length',
  'age',
  'cache-status',
  'x-cache',
  'vary',
])

/** The names among these that are not replayed: hop-by-hop ones, those that Connection names, and per-request ones. */
export function notReplayed(head: ResponseHead): (name: string) => boolean {
  const connection = head.get('connection')
  const named = varyNames(connection)
  return (name) => NEVER_REPLAYED.has(name) || (named !== '*' && named.includes(name))
}

/** Whether a conditional request is answered 304 (RFC 9110 section 13.2.2: If-None-Match goes before If-Modified-Since). */
export function isNotModified(
  ifNoneMatch: string | undefined,
  ifModifiedSince: string | undefined,
  etag: string | undefined,
  modifiedAt: number | undefined,
): boolean {
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === '*') return true
    if (etag === undefined) return false
    const opaque = etag.replace(/^W\//, '')
    for (const [, tag] of ifNoneMatch.matchAll(/(?:^|,)\s*(?:W\/)?("[^"]*")\s*(?=,|$)/g))
      if (tag === opaque) return true
    // Not of the form that the RFC gives, but some clients send the tag bare; Express takes it, too.
    return ifNoneMatch === etag
  }
  if (ifModifiedSince === undefined || modifiedAt === undefined) return false
  const since = toTime(ifModifiedSince)
  return since !== undefined && modifiedAt <= since
}

/** What a request says that counts where `requestCacheControl: 'honour'` (section 5.2.1). Milliseconds. */
export interface RequestDirectives {
  readonly noCache: boolean
  readonly noStore: boolean
  readonly onlyIfCached: boolean
  readonly maxAgeMs: number | undefined
  readonly minFreshMs: number
}

export function parseRequest(cacheControl: string | undefined, pragma: string | undefined): RequestDirectives {
  const directives = parseCacheControl(cacheControl)
  const maxAge = directives.get('max-age')
  return {
    // Pragma counts only where there is no Cache-Control (section 5.4).
    noCache: directives.has('no-cache') || (cacheControl === undefined && /\bno-cache\b/i.test(pragma ?? '')),
    noStore: directives.has('no-store'),
    onlyIfCached: directives.has('only-if-cached'),
    maxAgeMs: maxAge === undefined ? undefined : (toSeconds(maxAge) ?? 0) * 1000,
    minFreshMs: (toSeconds(directives.get('min-fresh')) ?? 0) * 1000,
  }
}
