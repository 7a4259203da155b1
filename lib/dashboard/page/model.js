/*
 * What the page knows, bounded however long it stays open. A new snapshot replaces all of it.
 */

/** @typedef {import('../wire.ts').Snapshot} Snapshot */
/** @typedef {import('../wire.ts').Tick} Tick */
/** @typedef {import('../wire.ts').Sample} Sample */
/** @typedef {import('../wire.ts').Invalidation} Invalidation */

export const MAX_SAMPLES = 900
export const MAX_INVALIDATIONS = 200

export class Model {
  /** @type {Snapshot | undefined} */
  snapshot
  /** @type {Tick | undefined} */
  tick
  /** Oldest first.
   * @type {Sample[]} */
  history = []
  /** Newest first.
   * @type {Invalidation[]} */
  invalidations = []
  /** Invalidations that came too many at once to be told one by one. */
  leftOut = 0
  /** @type {'connecting' | 'live' | 'away' | 'refused'} */
  state = 'connecting'
  /** Why the server refused. */
  reason = ''

  /** @param {Snapshot} snapshot */
  takeSnapshot(snapshot) {
    this.snapshot = snapshot
    this.tick = snapshot
    this.leftOut = 0
    this.history = snapshot.history.slice(-MAX_SAMPLES)
    this.invalidations = snapshot.invalidations.slice(0, MAX_INVALIDATIONS)
  }

  /** @param {Tick} tick */
  takeTick(tick) {
    this.tick = tick
    this.leftOut += tick.invalidationsLeftOut
    // The snapshot holds the second that it was made in.
    if ((this.history.at(-1)?.atMs ?? 0) < tick.sample.atMs) this.history.push(tick.sample)
    if (this.history.length > MAX_SAMPLES) this.history.shift()
  }

  /** @param {Invalidation} invalidation */
  takeInvalidation(invalidation) {
    this.invalidations.unshift(invalidation)
    if (this.invalidations.length > MAX_INVALIDATIONS) this.invalidations.pop()
  }

  /**
   * Sums over the last seconds of the history.
   * @param {number} seconds
   */
  lately(seconds) {
    const sums = { seconds: 0, hits: 0, misses: 0, stale: 0, bypasses: 0 }
    const fromMs = (this.tick?.atMs ?? 0) - seconds * 1000
    for (let i = this.history.length - 1; i >= 0; i--) {
      const sample = this.history[i]
      if (sample === undefined || sample.atMs <= fromMs) break
      sums.seconds += sample.seconds
      sums.hits += sample.hits
      sums.misses += sample.misses
      sums.stale += sample.stale
      sums.bypasses += sample.bypasses
    }
    return sums
  }
}
