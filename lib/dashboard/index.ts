/*
 * `express-registry-cache/dashboard`: a page that shows what a cache does, live, and the JSON that it is made of. On node:http
 * alone, so that Express 4, Express 5 and whatever else calls `(req, res, next)` can mount it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Dashboard } from './dashboard.ts'
import { checkCache, type DashboardCache, type DashboardOptions, resolveDashboardOptions } from './options.ts'
import { readPage } from './page-files.ts'
import { pageFolder } from './page-folder.js'

export type { DashboardCache, DashboardOptions, DashboardPermission } from './options.ts'
export type {
  Durations,
  EntryPage,
  EntryRow,
  EpochRow,
  Evicted,
  Explained,
  Invalidated,
  Invalidation,
  Preview,
  Sample,
  Snapshot,
  Tick,
  TypeRow,
  WorkerRow,
} from './wire.ts'

/** What `app.use('/_cache', …)` takes. It answers everything below its path itself. */
export interface CacheDashboard {
  (req: IncomingMessage, res: ServerResponse, next?: unknown): void
  /** Closes the open pages and lets go of the cache, as `cache.stop()` does. The next request begins anew. */
  close(): void
}

/**
 * The dashboard of a cache. `authorize` is required: the page shows data and can invalidate.
 * @throws OptionError: ERR_OPTION_MISSING without `authorize`; ERR_DASHBOARD_PAGE when the page's files are not there
 */
export function cacheDashboard(cache: DashboardCache, options: DashboardOptions): CacheDashboard {
  checkCache(cache)
  const dashboard = new Dashboard(cache, resolveDashboardOptions(options), readPage(pageFolder))
  const handle = function cacheDashboard(req: IncomingMessage, res: ServerResponse): void {
    void dashboard.handle(req, res)
  }
  return Object.assign(handle, { close: () => dashboard.rest() })
}
