/*
 * The metrics of one register, and the caches that fill them at each scrape. They are registered with the first cache and go
 * with the last.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { OptionError } from '../errors.ts'
import { HANDLER_BUCKETS, HIT_BUCKETS, listenToDurations } from '../metrics/durations.ts'
import type { ResolvedExportOptions } from '../metrics/options.ts'
import { type MeteredCache, SERIES, type Series, TypeLabels } from '../metrics/series.ts'
import type { RegistryCacheStats } from '../stats.ts'

interface Source {
  readonly cache: MeteredCache
  readonly name: string
  readonly typeLabels: TypeLabels
}

interface Durations {
  readonly hit: Histogram
  readonly handler: Histogram
}

export class Exporter {
  readonly #register: Registry
  readonly #sources = new Map<string, Source>()
  readonly #removals = new Set<() => void>()
  #durations: Durations | undefined
  #snapshot: Map<Source, RegistryCacheStats> | undefined

  constructor(register: Registry) {
    this.#register = register
  }

  /** Whether the metrics in the register are this one's. */
  isRegistered(): boolean {
    return this.#durations !== undefined && this.#register.getSingleMetric(HIT_DURATION) === this.#durations.hit
  }

  removeAll(): void {
    for (const remove of this.#removals) remove()
  }

  /** @throws OptionError */
  add(cache: MeteredCache, { name, durations, maxTypes }: ResolvedExportOptions): () => void {
    for (const source of this.#sources.values()) {
      if (source.cache === cache) throw alreadyRegistered('cache', `a cache that is not there as "${source.name}"`)
    }
    if (this.#sources.has(name))
      throw alreadyRegistered('name', 'a name that no other cache of this register has', name)
    const { hit, handler } = this.#durations ?? this.#registerAll()
    const source: Source = { cache, name, typeLabels: new TypeLabels(maxTypes) }
    this.#sources.set(name, source)
    const used = new Set<string>()
    const labelsOf = (type: string): { cache: string; type: string } => {
      const label = source.typeLabels.of(type)
      used.add(label)
      return { cache: name, type: label }
    }
    const unlisten =
      durations &&
      listenToDurations(cache, {
        onHit: ({ type }, seconds) => hit.observe(labelsOf(type), seconds),
        onFill: ({ type }, seconds) => handler.observe(labelsOf(type), seconds),
      })
    const remove = (): void => {
      if (!this.#removals.delete(remove)) return
      if (unlisten) unlisten()
      this.#sources.delete(name)
      for (const type of used) {
        hit.remove({ cache: name, type })
        handler.remove({ cache: name, type })
      }
      if (this.#sources.size === 0) this.#unregisterAll()
    }
    this.#removals.add(remove)
    return remove
  }

  #registerAll(): Durations {
    const taken = NAMES.find((name) => this.#register.getSingleMetric(name))
    if (taken) throw alreadyRegistered('register', `a register without a metric named ${taken}`)
    for (const series of SERIES) this.#registerSeries(series)
    const labelNames = ['cache', 'type']
    const registers = [this.#register]
    this.#durations = {
      hit: new Histogram({
        name: HIT_DURATION,
        help: 'Time from a request to its answer out of the cache.',
        labelNames,
        buckets: [...HIT_BUCKETS],
        registers,
      }),
      handler: new Histogram({
        name: HANDLER_DURATION,
        help: "Time from a miss to its handler's answer, waiting for another worker included.",
        labelNames,
        buckets: [...HANDLER_BUCKETS],
        registers,
      }),
    }
    return this.#durations
  }

  #registerSeries(series: Series): void {
    const { help, labels } = series
    const exporter = this
    const configuration = {
      name: nameOf(series),
      help,
      labelNames: ['cache', ...labels],
      registers: [this.#register],
      // Of one worker; prom-client's AggregatorRegistry sums up the others this way.
      aggregator: series.across,
      collect(this: Counter | Gauge): void {
        exporter.#collect(this, series)
      },
    }
    if (series.kind === 'counter') new Counter(configuration)
    else new Gauge(configuration)
  }

  #unregisterAll(): void {
    if (this.isRegistered()) for (const name of NAMES) this.#register.removeSingleMetric(name)
    this.#durations = undefined
  }

  #collect(metric: Counter | Gauge, series: Series): void {
    metric.reset()
    for (const [{ name, typeLabels }, stats] of this.#take()) {
      for (const { labels, value } of series.read(stats, typeLabels)) metric.inc({ cache: name, ...labels }, value)
    }
  }

  /** One look at each cache per scrape: a register begins with all of its metrics in one go. */
  #take(): Map<Source, RegistryCacheStats> {
    if (!this.#snapshot) {
      this.#snapshot = new Map([...this.#sources.values()].map((source) => [source, source.cache.stats()]))
      queueMicrotask(() => {
        this.#snapshot = undefined
      })
    }
    return this.#snapshot
  }
}

const PREFIX = 'registry_cache_'
const HIT_DURATION = `${PREFIX}hit_duration_seconds`
const HANDLER_DURATION = `${PREFIX}handler_duration_seconds`

function nameOf({ name, unit, kind }: Series): string {
  return `${PREFIX}${name}${unit === undefined ? '' : `_${unit}`}${kind === 'counter' ? '_total' : ''}`
}

const NAMES: readonly string[] = [...SERIES.map(nameOf), HIT_DURATION, HANDLER_DURATION]

function alreadyRegistered(
  option: string,
  expected: string,
  received: unknown = 'one that is there already',
): OptionError {
  return new OptionError('ERR_ALREADY_REGISTERED', option, received, expected)
}
