/*
 * The series of a cache as observable instruments. Named so that a translation to Prometheus gives the names of
 * express-registry-cache/prometheus: one dashboard serves both.
 */
import type { BatchObservableResult, Meter, Observable } from '@opentelemetry/api'
import { HANDLER_BUCKETS, HIT_BUCKETS, listenToDurations } from '../metrics/durations.ts'
import type { ResolvedExportOptions } from '../metrics/options.ts'
import { type MeteredCache, SERIES, type Series, TypeLabels } from '../metrics/series.ts'

const PREFIX = 'registry_cache.'
const UNITS = { seconds: 's', bytes: 'By' } as const

export function exportMetrics(
  cache: MeteredCache,
  meter: Meter,
  { name, durations, maxTypes }: ResolvedExportOptions,
): () => void {
  const typeLabels = new TypeLabels(maxTypes)
  const instruments = new Map(SERIES.map((series) => [series, instrumentOf(meter, series)]))
  const observe = (result: BatchObservableResult): void => {
    // One look, so that the figures of one collection agree.
    const stats = cache.stats()
    for (const [series, instrument] of instruments) {
      for (const { labels, value } of series.read(stats, typeLabels)) {
        result.observe(instrument, value, { cache: name, ...labels })
      }
    }
  }
  meter.addBatchObservableCallback(observe, [...instruments.values()])
  const unlisten = durations && exportDurations(cache, meter, name, typeLabels)
  return () => {
    meter.removeBatchObservableCallback(observe, [...instruments.values()])
    if (unlisten) unlisten()
  }
}

function instrumentOf(meter: Meter, { name, kind, unit, help, across }: Series): Observable {
  const options = { description: help, ...(unit === undefined ? {} : { unit: UNITS[unit] }) }
  if (kind === 'counter') return meter.createObservableCounter(PREFIX + name, options)
  // What several workers' figures may be added up of is no gauge in OpenTelemetry's words.
  if (across === 'sum') return meter.createObservableUpDownCounter(PREFIX + name, options)
  return meter.createObservableGauge(PREFIX + name, options)
}

function exportDurations(cache: MeteredCache, meter: Meter, name: string, typeLabels: TypeLabels): () => void {
  const hit = meter.createHistogram(`${PREFIX}hit_duration`, {
    description: 'Time from a request to its answer out of the cache.',
    unit: 's',
    advice: { explicitBucketBoundaries: [...HIT_BUCKETS] },
  })
  const handler = meter.createHistogram(`${PREFIX}handler_duration`, {
    description: "Time from a miss to its handler's answer, waiting for another worker included.",
    unit: 's',
    advice: { explicitBucketBoundaries: [...HANDLER_BUCKETS] },
  })
  return listenToDurations(cache, {
    onHit: ({ type }, seconds) => hit.record(seconds, { cache: name, type: typeLabels.of(type) }),
    onFill: ({ type }, seconds) => handler.record(seconds, { cache: name, type: typeLabels.of(type) }),
  })
}
