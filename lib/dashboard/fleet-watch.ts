/*
 * The workers of the fleet, asked for at most once in two seconds however many pages want to know. What was seen last stays,
 * with `known: false`, while Redis does not answer.
 */
import type { Clock } from '../cache/tiers.ts'
import type { DashboardCache } from './options.ts'

export type FleetView = Awaited<ReturnType<DashboardCache['workers']>>

const EVERY_MS = 2000

export class FleetWatch {
  readonly #cache: DashboardCache
  readonly #clock: Clock
  #askedAtMs = -Infinity
  #answeredAtMs = 0
  #asking: Promise<void> | undefined
  #view: FleetView | undefined

  constructor(cache: DashboardCache, clock: Clock) {
    this.#cache = cache
    this.#clock = clock
  }

  /** Undefined before the first answer. */
  get view(): FleetView | undefined {
    return this.#view
  }

  /** How old what is seen is by now, at most. */
  get ageMs(): number {
    return this.#clock.monotonic() - this.#answeredAtMs
  }

  /** Asks if it is time; resolves when what is under way is answered. Never rejects. */
  async refresh(): Promise<void> {
    const nowMs = this.#clock.monotonic()
    if (this.#asking === undefined && nowMs - this.#askedAtMs >= EVERY_MS) {
      this.#askedAtMs = nowMs
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined
      })
    }
    await this.#asking
  }

  async #ask(): Promise<void> {
    try {
      this.#view = await this.#cache.workers()
      this.#answeredAtMs = this.#clock.monotonic()
    } catch {
      if (this.#view) this.#view = { ...this.#view, known: false }
    }
  }
}
