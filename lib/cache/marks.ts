/*
 * Hit-for-miss: keys whose answers turned out not to be cacheable, remembered for a few seconds so that their requests
 * are not queued behind each other. Bounded; a forgotten mark costs one wait.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from './tiers.ts'

const MARK_MS = 5000
const MAX_MARKS = 2000

export class Marks {
  readonly #until = new LRUCache<string, number>({ max: MAX_MARKS })
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  has(key: string): boolean {
    const untilMs = this.#until.size === 0 ? undefined : this.#until.get(key)
    return untilMs !== undefined && this.#clock.monotonic() < untilMs
  }

  set(key: string): void {
    this.#until.set(key, this.#clock.monotonic() + MARK_MS)
  }

  delete(key: string): void {
    if (this.#until.size > 0) this.#until.delete(key)
  }
}
