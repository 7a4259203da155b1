/*
 * What the exporters are told, checked once.
 */
import { checkBoolean, checkNames, checkNumber } from '../check.ts'
import { OptionError } from '../errors.ts'
import type { MeteredCache } from './series.ts'

export interface ExportOptions {
  /** The label `cache`, which tells several caches of one process apart. Default `default`. */
  readonly name?: string | undefined
  /** Histograms of how long hits and handlers took. Default true; each hit then makes an event object. */
  readonly durations?: boolean | undefined
  /** How many types get a label of their own; further ones are summed under `other`. Default 100. */
  readonly maxTypes?: number | undefined
}

export interface ResolvedExportOptions {
  readonly name: string
  readonly durations: boolean
  readonly maxTypes: number
}

/** @throws OptionError */
export function resolveExportOptions(options: ExportOptions, more: readonly string[] = []): ResolvedExportOptions {
  checkNames('', options, ['name', 'durations', 'maxTypes', ...more])
  const { name = 'default' } = options
  if (typeof name !== 'string' || name === '' || name.length > 64) {
    throw new OptionError('ERR_OPTION_TYPE', 'name', name, 'a string of 1 to 64 characters')
  }
  return {
    name,
    durations: checkBoolean('durations', options.durations, true),
    maxTypes: checkNumber('maxTypes', options.maxTypes, { min: 1, max: 10_000, integer: true }, 100),
  }
}

/** @throws OptionError */
export function checkCache(cache: unknown): asserts cache is MeteredCache {
  const methods = cache as Partial<Record<keyof MeteredCache, unknown>> | null | undefined
  if ([methods?.stats, methods?.on, methods?.off].every((method) => typeof method === 'function')) return
  throw new OptionError('ERR_OPTION_TYPE', 'cache', cache, 'a cache, as createRegistryCache() makes it')
}
