/*
 * What a route remembers of its requests for those who look on, and says of an entry's first one. Taken down where the
 * handler or Redis is asked anyway; a hit only points to what its entry holds already.
 */
import type { Origin } from '../cache/entry.ts'
import type { CacheRequest } from './exchange.ts'
import type { RouteOptions } from './route-options.ts'

export interface Seen {
  /** Of the last request, or of the entry that answered it. */
  origin: Origin | undefined
  /** The application whose settings parse its URLs, and the path under which it hands them on. */
  app: unknown
  baseUrl: string
}

export function makeSeen(): Seen {
  return { origin: undefined, app: undefined, baseUrl: '' }
}

export function see(seen: Seen, req: CacheRequest, origin: Origin): void {
  seen.origin = origin
  seen.app = req.app
  seen.baseUrl = req.baseUrl ?? ''
}

/** `scope` is what the route's function gave. */
export function originOf(req: CacheRequest, route: RouteOptions, scope: string | undefined): Origin {
  const own = route.scope === 'public' ? 'public' : 'none'
  return { url: req.originalUrl ?? req.url ?? '', scope: scope === undefined ? own : { of: scope } }
}
