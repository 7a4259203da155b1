/*
 * How long answers took, from a cache's events. While somebody listens to `hit`, each hit makes an event object.
 */
import type { HitEvent, StoreEvent } from '../events.ts'
import type { MeteredCache } from './series.ts'

/** Seconds. A hit in memory takes tens of microseconds, one in Redis a fraction of a millisecond. */
export const HIT_BUCKETS: readonly number[] = [
  0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
]
export const HANDLER_BUCKETS: readonly number[] = [
  0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

export interface DurationListener {
  /** A response out of the cache, stale or not. */
  onHit(event: HitEvent, seconds: number): void
  /** A handler's answer, or what `load` of `wrap` gave; from the miss to the answer, whether it was stored or not. */
  onFill(event: StoreEvent, seconds: number): void
}

/** Calls the listener until the returned function is called. */
export function listenToDurations(cache: MeteredCache, { onHit, onFill }: DurationListener): () => void {
  const stops = [listenToHits(cache, onHit), listenToFills(cache, onFill)]
  return () => {
    for (const stop of stops) stop()
  }
}

/** While somebody listens, each hit makes an event. */
export function listenToHits(cache: MeteredCache, onHit: DurationListener['onHit']): () => void {
  const hit = (event: HitEvent): void => {
    // Of values there is no duration: they are not answers.
    if (event.durationMs !== undefined) onHit(event, event.durationMs / 1000)
  }
  cache.on('hit', hit).on('stale', hit)
  return () => void cache.off('hit', hit).off('stale', hit)
}

/** Costs a hit nothing. */
export function listenToFills(cache: MeteredCache, onFill: DurationListener['onFill']): () => void {
  const store = (event: StoreEvent): void => {
    // What `set` stores took nobody's time, and an aborted request says when its client left.
    if (event.by !== 'set' && event.reason !== 'aborted') onFill(event, event.handlerMs / 1000)
  }
  cache.on('store', store)
  return () => void cache.off('store', store)
}
