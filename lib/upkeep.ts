/*
 * What a cache does beside answering: work in the background that `stop` awaits, work put off, warnings said once, errors
 * counted and emitted.
 */
import type { Counters } from './cache/counters.ts'
import type { Clock } from './cache/tiers.ts'
import { type ErrorCode, TierError } from './errors.ts'
import type { Events } from './events.ts'
import type { Logger } from './options.ts'

export class Upkeep {
  readonly #clock: Clock
  readonly #logger: Logger | undefined
  readonly #silence: ReadonlySet<string>
  readonly #counters: Counters
  readonly #events: Events
  readonly #background = new Set<Promise<unknown>>()
  readonly #putOff = new Map<() => void, unknown>()
  readonly #said = new Set<string>()

  constructor(parts: {
    clock: Clock
    logger: Logger | undefined
    silence: ReadonlySet<string>
    counters: Counters
    events: Events
  }) {
    this.#clock = parts.clock
    this.#logger = parts.logger
    this.#silence = parts.silence
    this.#counters = parts.counters
    this.#events = parts.events
  }

  /** The one way out for work that nobody waits for. */
  readonly inBackground = (work: Promise<unknown>, reason: string): void => {
    const settled = work
      .catch((cause: unknown) => this.report(new TierError('ERR_REDIS_UNAVAILABLE', reason, String(cause), cause)))
      .finally(() => this.#background.delete(settled))
    this.#background.add(settled)
  }

  /** Waits for all of it, and for what that started; each piece has a deadline of its own. */
  async settled(): Promise<void> {
    // Under traffic there is always more: bounded passes, or it would wait for as long as requests come.
    for (let pass = 0; pass < 3 && this.#background.size > 0; pass++) {
      await Promise.allSettled([...this.#background])
    }
  }

  /** Runs it once: after so many milliseconds, or now at `runPutOff`. */
  readonly later = (run: () => void, ms: number): void => {
    const timer = this.#clock.setTimeout(() => {
      this.#putOff.delete(run)
      run()
    }, ms)
    this.#putOff.set(run, timer)
  }

  runPutOff(): void {
    for (const [run, timer] of [...this.#putOff]) {
      this.#clock.clearTimeout(timer)
      this.#putOff.delete(run)
      run()
    }
  }

  /** An `error` event. */
  readonly report = (error: TierError): void => {
    this.#counters.errors++
    this.#events.emit('error', error)
  }

  readonly failed = (code: ErrorCode, operation: string, message: string, cause?: unknown): void => {
    const isHeard = this.#events.has('error')
    this.report(new TierError(code, operation, message, cause))
    // A mistake in the application, and a request that merely bypasses would not tell of it.
    if (!isHeard && code === 'ERR_CALLBACK_THREW') this.warn(code, `${operation} threw: ${message}`, operation)
  }

  /** Says it once per code and subject, unless its code is silenced. */
  readonly warn = (code: ErrorCode, message: string, subject: string): void => {
    const key = `${code} ${subject}`
    if (this.#silence.has(code) || this.#said.has(key)) return
    this.#said.add(key)
    if (this.#logger) this.#logger.warn(`express-registry-cache: ${message} (${code})`, { code })
    else process.emitWarning(`express-registry-cache: ${message}`, { code, type: 'RegistryCacheWarning' })
  }

  /** Lets it be said again: what it warned of is over. */
  unsay(code: ErrorCode, subject: string): void {
    this.#said.delete(`${code} ${subject}`)
  }
}
