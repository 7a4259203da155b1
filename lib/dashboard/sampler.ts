/*
 * What the dashboard knows of the past: a sample each second, from what `counts()` counted since the last one, and how long
 * answers took. Whoever drives it calls `sample` once a second, whether anybody looks or not: that is one `counts()`. Hits are
 * timed while it is watched, since each then makes an event; handlers always.
 */
import type { Clock } from '../cache/tiers.ts'
import { listenToFills, listenToHits } from '../metrics/durations.ts'
import type { RegistryCacheCounts } from '../stats.ts'
import { RecentDurations } from './histogram.ts'
import type { DashboardCache } from './options.ts'
import type { Durations, Sample } from './wire.ts'

export const MAX_SAMPLES = 900

interface Mean {
  count: number
  totalMs: number
}

export class Sampler {
  readonly #cache: DashboardCache
  readonly #clock: Clock
  readonly #history: Sample[] = []
  readonly #hits: RecentDurations
  readonly #handlers: RecentDurations
  readonly #hitMean: Mean = { count: 0, totalMs: 0 }
  /** By type: what one costs says nothing about another. */
  readonly #handlerMeans = new Map<string, Mean>()
  #last: RegistryCacheCounts
  #lastAtMs: number
  #roundTripMs: number | undefined
  #savedMs = 0
  #stopFills: (() => void) | undefined
  #stopHits: (() => void) | undefined

  constructor(cache: DashboardCache, clock: Clock) {
    this.#cache = cache
    this.#clock = clock
    this.#hits = new RecentDurations(clock)
    this.#handlers = new RecentDurations(clock)
    this.#last = cache.counts()
    this.#lastAtMs = clock.monotonic()
  }

  /** Oldest first. */
  get history(): readonly Sample[] {
    return this.#history
  }

  /** The last one; before the first, one of nothing. */
  get latest(): Sample {
    return this.#history.at(-1) ?? { atMs: this.#clock.now(), seconds: 0, hits: 0, misses: 0, stale: 0, bypasses: 0 }
  }

  /** The mean of the last second that had any. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs
  }

  get savedMs(): number {
    return this.#savedMs
  }

  durations(): { hit: Durations; handler: Durations } {
    return { hit: this.#hits.read(), handler: this.#handlers.read() }
  }

  start(): void {
    this.#stopFills ??= listenToFills(this.#cache, ({ type }, seconds) => {
      this.#handlers.add(seconds * 1000)
      let mean = this.#handlerMeans.get(type)
      if (!mean) {
        mean = { count: 0, totalMs: 0 }
        this.#handlerMeans.set(type, mean)
      }
      note(mean, seconds * 1000)
    })
  }

  stop(): void {
    this.watch(false)
    this.#stopFills?.()
    this.#stopFills = undefined
  }

  watch(isWatched: boolean): void {
    if (!isWatched) {
      this.#stopHits?.()
      this.#stopHits = undefined
    } else {
      this.#stopHits ??= listenToHits(this.#cache, (_event, seconds) => {
        this.#hits.add(seconds * 1000)
        note(this.#hitMean, seconds * 1000)
      })
    }
  }

  sample(): void {
    const counts = this.#cache.counts()
    const nowMs = this.#clock.monotonic()
    const last = this.#last
    this.#history.push({
      atMs: this.#clock.now(),
      seconds: (nowMs - this.#lastAtMs) / 1000,
      hits: grown(counts.hits, last.hits),
      misses: grown(counts.misses, last.misses),
      stale: grown(counts.stale, last.stale),
      bypasses: grown(sum(counts.bypasses), sum(last.bypasses)),
    })
    if (this.#history.length > MAX_SAMPLES) this.#history.shift()
    this.#noteSaved(counts)
    const trips = (counts.redis?.roundTrips ?? 0) - (last.redis?.roundTrips ?? 0)
    if (trips > 0) this.#roundTripMs = ((counts.redis?.roundTripMs ?? 0) - (last.redis?.roundTripMs ?? 0)) / trips
    this.#last = counts
    this.#lastAtMs = nowMs
  }

  #noteSaved(counts: RegistryCacheCounts): void {
    const hitMs = meanOf(this.#hitMean) ?? 0
    for (const [type, of] of Object.entries(counts.types)) {
      const before = this.#last.types[type]
      // Where a stale entry stood in for a failure the handler has run all the same.
      const spared = grown(of.hits - of.staleIfError, (before?.hits ?? 0) - (before?.staleIfError ?? 0))
      const handlerMs = meanOf(this.#handlerMeans.get(type))
      if (handlerMs !== undefined) this.#savedMs += spared * (handlerMs - hitMs)
    }
  }
}

/** Of a counter; one that is less than it was has been zeroed in between. */
function grown(now: number, before: number): number {
  return now >= before ? now - before : now
}

function note(mean: Mean, ms: number): void {
  mean.count++
  mean.totalMs += ms
}

function meanOf(mean: Mean | undefined): number | undefined {
  return mean === undefined || mean.count === 0 ? undefined : mean.totalMs / mean.count
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0)
}
