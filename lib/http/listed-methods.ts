/*
 * Methods of `invalidateOn`: which of them read, and a word about one that was forgotten.
 */
import type { ErrorCode } from '../errors.ts'
import type { CacheRequest, CacheResponse } from './exchange.ts'

export interface ListedChecks {
  /** How many invalidations there were so far. */
  readonly invalidations: () => number
  readonly warn: (code: ErrorCode, message: string, subject: string) => void
}

export const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])
/** A POST may well be a search. */
const WRITES = new Set(['PUT', 'PATCH', 'DELETE'])

/** A write that was answered, and after which nothing is invalidated: most likely its method was forgotten. */
export function checkListed(
  req: CacheRequest,
  res: CacheResponse,
  method: string,
  listed: ReadonlySet<string>,
  { invalidations, warn }: ListedChecks,
): void {
  if (!WRITES.has(method) || ![...listed].some((name) => !SAFE.has(name))) return
  const before = invalidations()
  res.once('finish', () => {
    // Another `invalidateOn`, or a call of `invalidate`, has seen to it; or to something else meanwhile: then nothing is said.
    if (res.statusCode < 200 || res.statusCode > 299 || invalidations() !== before) return
    const where = routeOf(req)
    warn(
      'ERR_METHOD_NOT_LISTED',
      `${method} ${where} was answered, and invalidated nothing: it passed an invalidateOn for ${[...listed].join(', ')} alone. ` +
        `Add ${method}, or name no methods for every one that writes`,
      `${method} ${where}`,
    )
  })
}

/** The pattern, not the URL: it goes to the other workers' feeds, and URLs may hold secrets. */
export function routeOf(req: CacheRequest): string {
  const path = (req.route as { path?: unknown } | undefined)?.path
  return (req.baseUrl ?? '') + (typeof path === 'string' ? path : '')
}
