/*
 * The last invalidations, newest first, and how fast they may be told: in a storm the first of each second are sent and the
 * others counted. All of the last 200 are in the next snapshot.
 */
import type { Clock } from '../cache/tiers.ts'
import type { InvalidateEvent } from '../events.ts'
import type { DashboardCache } from './options.ts'
import type { Invalidation } from './wire.ts'

export const MAX_INVALIDATIONS = 200
export const MAX_PER_SECOND = 20
/** Of each text. Ours are shorter; what comes by way of Redis is as long as anybody there likes. */
const MAX_CHARACTERS = 512

export class Feed {
  readonly #cache: DashboardCache
  readonly #clock: Clock
  readonly #tell: (invalidation: Invalidation) => void
  readonly #latest: Invalidation[] = []
  #lastId = 0
  #told = 0
  #leftOut = 0
  #isListening = false

  constructor(cache: DashboardCache, clock: Clock, tell: (invalidation: Invalidation) => void) {
    this.#cache = cache
    this.#clock = clock
    this.#tell = tell
  }

  start(): void {
    if (!this.#isListening) this.#cache.on('invalidate', this.#note)
    this.#isListening = true
  }

  stop(): void {
    this.#cache.off('invalidate', this.#note)
    this.#isListening = false
  }

  /** Newest first. */
  latest(): readonly Invalidation[] {
    return this.#latest.toReversed()
  }

  /** A second is over. Gives how many of it were not told. */
  turn(): number {
    const leftOut = this.#leftOut
    this.#told = 0
    this.#leftOut = 0
    return leftOut
  }

  readonly #note = ({ tag, cause, worker, own }: InvalidateEvent): void => {
    const invalidation = {
      id: ++this.#lastId,
      atMs: this.#clock.now(),
      tag: tag.slice(0, MAX_CHARACTERS),
      cause: cause.slice(0, MAX_CHARACTERS),
      worker: worker.slice(0, MAX_CHARACTERS),
      own,
    }
    this.#latest.push(invalidation)
    if (this.#latest.length > MAX_INVALIDATIONS) this.#latest.shift()
    if (this.#told >= MAX_PER_SECOND) this.#leftOut++
    else {
      this.#told++
      this.#tell(invalidation)
    }
  }
}
