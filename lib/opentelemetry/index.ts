/*
 * `express-registry-cache/opentelemetry`: a cache's figures as metrics, and what it does as spans, through @opentelemetry/api,
 * which only this sub-path loads. Built on the cache's events alone: what they time is a span, what they only tell is an event
 * of the active span. Nothing else is guessed.
 */
import { type MeterProvider, metrics, type TracerProvider, trace } from '@opentelemetry/api'
import { OptionError } from '../errors.ts'
import { checkCache, type ExportOptions, resolveExportOptions } from '../metrics/options.ts'
import type { MeteredCache } from '../metrics/series.ts'
import { exportMetrics } from './metrics.ts'
import { exportSpans } from './spans.ts'

export interface InstrumentOptions extends ExportOptions {
  /** Default: the one that was registered globally. */
  readonly tracerProvider?: TracerProvider | undefined
  /** Default: the one that was registered globally before this call. */
  readonly meterProvider?: MeterProvider | undefined
}

const SCOPE = 'express-registry-cache'

/** Under a registered symbol, so that the ESM and the CJS copy know of each other. */
const INSTRUMENTED = Symbol.for('express-registry-cache.instrumented')

/**
 * Reports a cache's spans and metrics until the function that it returns is called; idempotent.
 * @throws OptionError: ERR_ALREADY_REGISTERED when this cache is instrumented already
 */
export function instrumentRegistryCache(cache: MeteredCache, options: InstrumentOptions = {}): () => void {
  checkCache(cache)
  const resolved = resolveExportOptions(options, ['tracerProvider', 'meterProvider'])
  const tracerProvider =
    checkProvider('tracerProvider', 'getTracer', options.tracerProvider) ?? trace.getTracerProvider()
  const meterProvider = checkProvider('meterProvider', 'getMeter', options.meterProvider) ?? metrics.getMeterProvider()
  const mark = cache as { [INSTRUMENTED]?: boolean }
  if (mark[INSTRUMENTED]) {
    throw new OptionError('ERR_ALREADY_REGISTERED', 'cache', cache, 'a cache that is not instrumented yet')
  }
  mark[INSTRUMENTED] = true
  const ends = [
    exportSpans(cache, tracerProvider.getTracer(SCOPE), resolved.name),
    exportMetrics(cache, meterProvider.getMeter(SCOPE), resolved),
  ]
  return () => {
    for (const end of ends.splice(0)) end()
    mark[INSTRUMENTED] = false
  }
}

function checkProvider<P extends object>(
  option: string,
  method: keyof P & string,
  provider: P | undefined,
): P | undefined {
  if (provider === undefined || (provider !== null && typeof provider[method] === 'function')) return provider
  throw new OptionError('ERR_OPTION_TYPE', option, provider, `an object with the method ${method}`)
}
