/*
 * From a request to what it asks for: the key's hash, or why the cache is left out. Pure but for the memo.
 *
 * The key is a hash over path, sorted query, scope and vary values in an unambiguous form: lengths, types and the order
 * of duplicates count. Scope 'public' and a function's 'public' are different scopes.
 */
import { canonical, hash32 } from '../cache/json.ts'
import type { CacheRequest } from './exchange.ts'
import type { RouteOptions } from './route-options.ts'

/** Hashes by raw URL, so that parsing, sorting and hashing are paid once. Bounded; its bytes count against L1's bound. */
export interface Memo {
  /** The query parser that its hashes were made with: a setting of the app, which another app may not share. */
  parser: unknown
  get(key: string): string | undefined
  set(key: string, hash: string): void
}

/** The hash of a request's key. `bypass` when a parameter is not allowed, or the query is nothing that can be keyed. */
export function requestHash(
  req: CacheRequest,
  route: RouteOptions,
  scope: string | undefined,
  memo: Memo | undefined,
): string | { readonly bypass: string } {
  const memoKey = memo && isOfParser(req, memo) ? memoKeyOf(req, route, scope) : undefined
  if (memoKey !== undefined) {
    const known = memo?.get(memoKey)
    if (known !== undefined) return known
  }
  const target = canonicalUrl(req, route)
  if (typeof target !== 'string') return target
  const hash = targetHash(target, req, route, scope)
  if (memoKey !== undefined) memo?.set(memoKey, hash)
  return hash
}

/** Path and query in canonical form: the part of the key that is a function of the URL alone. */
function canonicalUrl(req: CacheRequest, route: RouteOptions): string | { readonly bypass: string } {
  try {
    const query = chosenQuery(req, route)
    if (query === undefined) return { bypass: 'query' }
    return `[${JSON.stringify(pathOf(req))},${isFlat(query) ? canonicalFlat(query) : canonical(query)}]`
  } catch {
    // A parser that throws, or gives what no JSON holds.
    return { bypass: 'query-error' }
  }
}

/** A URL's part of the key, known before: its canonical text, and the hash where nothing else is part of the key. */
export interface Target {
  readonly text: string
  readonly hash: string | undefined
}

export function targetOf(req: CacheRequest, route: RouteOptions): Target | { readonly bypass: string } {
  const text = canonicalUrl(req, route)
  if (typeof text !== 'string') return text
  const isWhole = typeof route.scope !== 'function' && route.vary.length === 0
  return { text, hash: isWhole ? targetHash(text, req, route, undefined) : undefined }
}

/** The key's hash of a target for one caller; remembered, as those of URLs are. */
export function callersHash(
  target: Target,
  req: CacheRequest,
  route: RouteOptions,
  scope: string | undefined,
  memo: Memo | undefined,
): string {
  if (target.hash !== undefined) return target.hash
  // Begins with a bracket: no key of a raw URL does.
  const memoKey = withCaller(target.text, req, route, scope)
  const known = memo?.get(memoKey)
  if (known !== undefined) return known
  const hash = targetHash(target.text, req, route, scope)
  memo?.set(memoKey, hash)
  return hash
}

function targetHash(target: string, req: CacheRequest, route: RouteOptions, scope: string | undefined): string {
  return hash32(`["response",${target},${JSON.stringify([scopeOf(route, scope), headersOf(req, route.vary)])}]`)
}

/** The hash of the variant for this request's values of the headers that answers vary by. */
export function variantHash(hash: string, names: readonly string[], req: CacheRequest): string {
  return hash32(JSON.stringify(['variant', hash, headersOf(req, names)]))
}

/**
 * Only where the query is a function of the URL: Express 5's getter. On Express 4, or where a middleware has put a query
 * of its own on the request, it may be anything.
 */
function memoKeyOf(req: CacheRequest, route: RouteOptions, scope: string | undefined): string | undefined {
  const url = req.url
  if (url === undefined || url.length > 2048 || Object.hasOwn(req, 'query')) return undefined
  return withCaller(`${req.baseUrl ?? ''} ${url}`, req, route, scope)
}

function withCaller(url: string, req: CacheRequest, route: RouteOptions, scope: string | undefined): string {
  let key = url
  if (scope !== undefined) key += `\n${scope}`
  for (const name of route.vary) key += `\n${headerValue(req, name) ?? '\0'}`
  return key
}

function isOfParser(req: CacheRequest, memo: Memo): boolean {
  const app = req.app as { get?: (setting: string) => unknown } | undefined
  // An app that parses no query has none, which is not the same as a memo that has seen no app yet.
  const parser = app?.get?.('query parser fn') ?? null
  if (memo.parser === undefined) memo.parser = parser
  return memo.parser === parser
}

/** As most queries are: names with a text each. */
function isFlat(query: unknown): query is Readonly<Record<string, string>> {
  if (typeof query !== 'object' || query === null || Array.isArray(query)) return false
  for (const name in query) if (typeof (query as Record<string, unknown>)[name] !== 'string') return false
  return true
}

/** The same text as `canonical` gives, without its walk. */
function canonicalFlat(query: Readonly<Record<string, string>>): string {
  const names = Object.keys(query)
  if (names.length > 1) names.sort()
  return `{${names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(query[name])}`).join()}}`
}

function pathOf(req: CacheRequest): string {
  return (req.baseUrl ?? '') + (req.path ?? '')
}

/** The parameters that count; undefined when there is one that the route does not allow. Read once: a getter parses. */
function chosenQuery(req: CacheRequest, { allow, ignore }: RouteOptions): unknown {
  const query = req.query
  if (typeof query !== 'object' || query === null) return query ?? {}
  if (allow === undefined && ignore.size === 0) return query
  const chosen: [string, unknown][] = []
  for (const [name, value] of Object.entries(query)) {
    if (ignore.has(name)) continue
    if (allow !== undefined && !allow.has(name)) return undefined
    chosen.push([name, value])
  }
  return Object.assign(Object.create(null), ...chosen.map(([name, value]) => ({ [name]: value })))
}

function scopeOf(route: RouteOptions, scope: string | undefined): readonly string[] {
  if (route.scope === undefined) return []
  return scope === undefined ? ['public'] : ['scope', scope]
}

function headersOf(req: CacheRequest, names: readonly string[]): [string, string | null][] {
  return names.map((name) => [name, headerValue(req, name) ?? null])
}

/** Outer white space does not count (RFC 9111 section 4.1); lines are one list. */
function headerValue(req: CacheRequest, name: string): string | undefined {
  const value: unknown = req.headers[name]
  // A name like `constructor` finds something that is no header.
  return Array.isArray(value) ? value.join(', ').trim() : typeof value === 'string' ? value.trim() : undefined
}
