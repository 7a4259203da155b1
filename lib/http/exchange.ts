/*
 * Requests and responses as this package sees them: node:http's, with what Express 4 and 5 add. Structural, so that our
 * declarations need no Express types; test/unit/express-types.test-d.ts checks them against both.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

export interface CacheRequest extends IncomingMessage {
  readonly baseUrl?: string
  readonly originalUrl?: string
  readonly path?: string
  readonly query?: unknown
  readonly params?: unknown
  readonly app?: unknown
  readonly route?: unknown
  /** Set by authentication middlewares (passport, express-jwt). */
  readonly user?: unknown
  readonly auth?: unknown
}

export interface CacheResponse extends ServerResponse {
  send?: (body?: never) => unknown
}

export type Next = (error?: unknown) => void

/** What `app.use`, `router.get` and the like take. */
export type Handler = (req: IncomingMessage, res: ServerResponse, next: Next) => void

/** The same inside: Express' own request and response. */
export type InnerHandler = (req: CacheRequest, res: CacheResponse, next: Next) => void

/** A callback that takes the request; an application may declare it with Express' own `Request`. */
export type FromRequest<T> = { bivarianceHack(req: CacheRequest): T }['bivarianceHack']
export type FromExchange<T> = { bivarianceHack(req: CacheRequest, res: CacheResponse): T }['bivarianceHack']

/** The types of the cache middlewares that a request passed on its way, for `invalidateOn` without a type. */
const PASSED = Symbol('express-registry-cache.passed')
/** The response is captured or answered by a cache middleware already. */
const RULED = Symbol('express-registry-cache.ruled')

export function notePassage(req: CacheRequest, type: string): void {
  const marked = req as { [PASSED]?: string[] }
  const passed = marked[PASSED]
  if (!passed) marked[PASSED] = [type]
  else if (!passed.includes(type)) passed.push(type)
}

export function passedTypes(req: CacheRequest): readonly string[] {
  return (req as { [PASSED]?: string[] })[PASSED] ?? []
}

/** True for the first cache middleware on this response: the outer one rules. */
export function takeCharge(res: CacheResponse): boolean {
  const marked = res as { [RULED]?: boolean }
  if (marked[RULED]) return false
  marked[RULED] = true
  return true
}

/** Somebody answered, or the client went away, while we waited. */
export function isOver(res: CacheResponse): boolean {
  return res.headersSent || res.destroyed || res.writableEnded
}
