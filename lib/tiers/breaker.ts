/*
 * Leaves Redis alone after so many failures in a row, and finds out in the background when it is back: no request of a
 * user ever pays for a probe. Closing takes a probe *and* the recovery that follows it.
 */
import type { Clock } from '../cache/tiers.ts'

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failures: number
  readonly probeEveryMs: number
  readonly clock: Clock
  /** True when Redis answers and everything that must happen before it is believed has happened. Never rejects. */
  readonly probe: () => Promise<boolean>
  readonly onChange: (isOpen: boolean, reason: string) => void
}

export class Breaker {
  readonly #options: BreakerOptions
  #failures = 0
  #isOpen = false
  #isProbing = false
  /** Somebody asked for a probe while one was under way: what it found may be old. */
  #again = false
  #timer: unknown
  #isStopped = false

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  success(): void {
    this.#failures = 0
  }

  failure(reason: string): void {
    if (++this.#failures >= this.#options.failures) this.open(reason)
  }

  /** Opens at once, for reasons that need no counting: the connection is gone. */
  open(reason: string): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#options.onChange(true, reason)
    this.#schedule()
  }

  /** Probes now instead of at the next tick of the timer: the connection is back. */
  probeNow(): void {
    if (!this.#isOpen || this.#isStopped) return
    if (this.#isProbing) {
      this.#again = true
      return
    }
    this.#options.clock.clearTimeout(this.#timer)
    this.#isProbing = true
    void this.#options.probe().then((isBack) => {
      this.#isProbing = false
      if (this.#isStopped) return
      if (isBack) {
        this.#isOpen = false
        this.#failures = 0
        this.#options.onChange(false, 'answers')
      } else if (this.#again) {
        this.#again = false
        this.probeNow()
      } else {
        this.#schedule()
      }
    })
  }

  /** Goes on after `stop`: one that is open probes again. */
  start(): void {
    this.#isStopped = false
    this.probeNow()
  }

  stop(): void {
    this.#isStopped = true
    this.#options.clock.clearTimeout(this.#timer)
  }

  #schedule(): void {
    if (this.#isStopped) return
    this.#timer = this.#options.clock.setTimeout(() => this.probeNow(), this.#options.probeEveryMs)
  }
}
