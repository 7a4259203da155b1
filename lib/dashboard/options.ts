/*
 * What the dashboard is told, checked once. Who may look is never guessed: `authorize` has no default.
 */
import { type Clock, systemClock } from '../cache/tiers.ts'
import { checkNames, checkNumber } from '../check.ts'
import { OptionError } from '../errors.ts'
import type { FromRequest } from '../http/exchange.ts'
import type { RegistryCache } from '../registry-cache.ts'

/** True: everybody whom `authorize` admits; false: nobody; or asked for each request. */
export type DashboardPermission = boolean | FromRequest<boolean | Promise<boolean>>

export interface DashboardOptions {
  /**
   * Who may see the dashboard: asked for every request, and only `true` admits. `'local'`: whoever connects from this
   * machine itself, by a loopback name and not by way of a proxy. Required.
   */
  readonly authorize: 'local' | FromRequest<boolean | Promise<boolean>>
  /** Who, of those, may invalidate and evict. Default true. */
  readonly mayInvalidate?: DashboardPermission | undefined
  /** Who, of those, may read bodies of entries. Default false. */
  readonly mayPreview?: DashboardPermission | undefined
  /** Pages that may be open at the same time, on this worker. Default 20. */
  readonly maxStreams?: number | undefined
  /** Default: the system's. */
  readonly clock?: Clock | undefined
}

export interface ResolvedDashboardOptions {
  readonly authorize: 'local' | FromRequest<boolean | Promise<boolean>>
  readonly mayInvalidate: DashboardPermission
  readonly mayPreview: DashboardPermission
  readonly maxStreams: number
  readonly clock: Clock
}

/** What the dashboard needs of a cache. */
export type DashboardCache = Pick<
  RegistryCache,
  | 'stats'
  | 'counts'
  | 'on'
  | 'off'
  | 'describe'
  | 'workers'
  | 'entries'
  | 'preview'
  | 'evict'
  | 'explainRoute'
  | 'invalidate'
  | 'invalidateAll'
  | 'report'
>

const METHODS: readonly (keyof DashboardCache)[] = [
  'stats',
  'counts',
  'on',
  'off',
  'describe',
  'entries',
  'invalidate',
  'report',
]

/** @throws OptionError */
export function checkCache(cache: unknown): asserts cache is DashboardCache {
  const methods = cache as Partial<Record<keyof DashboardCache, unknown>> | null | undefined
  if (METHODS.every((name) => typeof methods?.[name] === 'function')) return
  throw new OptionError('ERR_OPTION_TYPE', 'cache', cache, 'a cache, as createRegistryCache() makes it')
}

/** @throws OptionError */
export function resolveDashboardOptions(options: DashboardOptions | undefined): ResolvedDashboardOptions {
  // Somebody who gave nothing at all is told what is missing, not that nothing is no object.
  const given = options === undefined ? ({} as DashboardOptions) : options
  checkNames('', given, ['authorize', 'mayInvalidate', 'mayPreview', 'maxStreams', 'clock'])
  const { authorize, mayInvalidate = true, mayPreview = false, clock = systemClock } = given
  const expected = "'local', or a function (req) => boolean that says who may see the dashboard"
  if (authorize === undefined) throw new OptionError('ERR_OPTION_MISSING', 'authorize', authorize, expected)
  if (authorize !== 'local' && typeof authorize !== 'function') {
    throw new OptionError('ERR_OPTION_TYPE', 'authorize', authorize, expected)
  }
  return Object.freeze({
    authorize,
    mayInvalidate: checkPermission('mayInvalidate', mayInvalidate),
    mayPreview: checkPermission('mayPreview', mayPreview),
    maxStreams: checkNumber('maxStreams', given.maxStreams, { min: 1, max: 1000, integer: true }, 20),
    clock: checkClock(clock),
  })
}

function checkPermission(option: string, value: DashboardPermission): DashboardPermission {
  if (typeof value === 'boolean' || typeof value === 'function') return value
  throw new OptionError('ERR_OPTION_TYPE', option, value, 'true, false or a function (req) => boolean')
}

function checkClock(clock: Clock): Clock {
  for (const name of ['now', 'monotonic', 'setTimeout', 'clearTimeout'] as const) {
    if (typeof clock?.[name] !== 'function') {
      throw new OptionError(
        'ERR_OPTION_TYPE',
        'clock',
        clock,
        'an object with now, monotonic, setTimeout, clearTimeout',
      )
    }
  }
  return clock
}
