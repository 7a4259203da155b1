/*
 * Requests and responses as this package sees them: node:http's, with what Express 4 and 5 add. Structural, so that our
 * declarations need no Express types; test/unit/express-types.test-d.ts checks them against both.
 */
import { type IncomingMessage, ServerResponse } from 'node:http'

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

/** True for a promise, which nothing here waits for; its rejection would otherwise end the process. */
export function isPromise(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || typeof (value as PromiseLike<unknown>).then !== 'function')
    return false
  ;(value as PromiseLike<unknown>).then(undefined, () => {})
  return true
}

// Notes on the objects themselves, which costs less than maps beside them. Registered, so that two copies of this package know
// each other's; own, since an object that is made from a request or response is another one.

const PASSED: unique symbol = Symbol.for('express-registry-cache.passed')
const RULED: unique symbol = Symbol.for('express-registry-cache.ruled')

interface Noted {
  /** The types of the cache middlewares that a request passed on its way, for `invalidateOn` without a type. */
  [PASSED]?: string[]
  /** The response is captured or answered by a cache middleware already. */
  [RULED]?: true
}

function noteOf<K extends keyof Noted>(of: Noted, key: K): Noted[K] | undefined {
  return Object.hasOwn(of, key) ? of[key] : undefined
}

export function notePassage(req: CacheRequest & Noted, type: string): void {
  const types = noteOf(req, PASSED)
  if (!types) req[PASSED] = [type]
  else if (!types.includes(type)) types.push(type)
}

export function passedTypes(req: CacheRequest & Noted): readonly string[] {
  return noteOf(req, PASSED) ?? []
}

/** Another cache middleware has taken charge of this response: the outer one rules. */
export function isRuled(res: CacheResponse & Noted): boolean {
  return noteOf(res, RULED) === true
}

export function takeCharge(res: CacheResponse & Noted): void {
  res[RULED] = true
}

const NODES_END: unknown = ServerResponse.prototype.end

/**
 * Whether this is Node's own, which leaves the bytes as they are. Whoever has put another in its place may write into them,
 * for one caller alone.
 */
export function isNodesEnd(end: unknown): boolean {
  return end === NODES_END
}

/** Somebody answered, or the client went away, while we waited. */
export function isOver(res: CacheResponse): boolean {
  return res.headersSent || res.destroyed
}
