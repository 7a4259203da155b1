/*
 * `express-registry-cache/prometheus`: a cache's figures on prom-client, which only this sub-path loads. Nothing is counted
 * twice: at each scrape the figures are read from `stats()`, once per cache, so they agree with each other; only durations come
 * from events.
 */
import { register as defaultRegister, type Registry } from 'prom-client'
import { OptionError } from '../errors.ts'
import { checkCache, type ExportOptions, resolveExportOptions } from '../metrics/options.ts'
import type { MeteredCache } from '../metrics/series.ts'
import { Exporter } from './exporter.ts'

export type { ExportOptions as CacheMetricsOptions } from '../metrics/options.ts'

const EXPORTER = Symbol.for('express-registry-cache.exporter')

/** Kept with the register, so that two installed copies of this module share it. */
type ExportingRegistry = Registry & { [EXPORTER]?: Exporter }

/**
 * Adds a cache's metrics, all named `registry_cache_…`, to a prom-client register, by default the global one. Several caches go
 * into one register under different names. Returns a function that takes the cache out again; idempotent.
 * @throws OptionError: ERR_ALREADY_REGISTERED when the register has this cache, this name, or metrics of these names already
 */
export function registerCacheMetrics(
  cache: MeteredCache,
  register: Registry = defaultRegister,
  options: ExportOptions = {},
): () => void {
  checkCache(cache)
  if (typeof register?.registerMetric !== 'function' || typeof register.getSingleMetric !== 'function') {
    throw new OptionError('ERR_OPTION_TYPE', 'register', register, "a Registry of prom-client's")
  }
  const resolved = resolveExportOptions(options)
  const kept: ExportingRegistry = register
  let exporter = kept[EXPORTER]
  // After `register.clear()` it is registered no more.
  if (!exporter?.isRegistered()) {
    exporter?.removeAll()
    exporter = new Exporter(register)
  }
  const remove = exporter.add(cache, resolved)
  kept[EXPORTER] = exporter
  return remove
}
