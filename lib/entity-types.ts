/*
 * What is known of entity types, and the checks of what callers name: TTLs, staleness, typos, units.
 */
import { isType } from './cache/names.ts'
import { checkNumber, closest } from './check.ts'
import { OptionError } from './errors.ts'
import { looksLikeMilliseconds, type ResolvedOptions, TTL, TYPE_NAME } from './options.ts'
import type { Upkeep } from './upkeep.ts'

export class EntityTypes {
  readonly #options: ResolvedOptions
  readonly #warn: Upkeep['warn']
  #longestTtlMs: number

  constructor(options: ResolvedOptions, warn: Upkeep['warn']) {
    this.#options = options
    this.#warn = warn
    const { types, defaultTtlMs, maxStalenessMs } = options
    this.#longestTtlMs = Math.max(defaultTtlMs, ...[...types.values()].map(({ ttlMs }) => ttlMs))
    this.checkUnit('defaultTtl', defaultTtlMs)
    for (const [type, { ttlMs }] of types) {
      if (ttlMs !== defaultTtlMs) this.checkUnit(`the TTL of ${type}`, ttlMs)
    }
    this.checkUnit('maxStaleness', maxStalenessMs)
  }

  /** The longest life of an entry that was asked for: epochs must outlive it. */
  get longestTtlMs(): number {
    return this.#longestTtlMs
  }

  noteLife(ms: number): void {
    this.#longestTtlMs = Math.max(this.#longestTtlMs, ms)
  }

  ttlMs(type: string): number {
    return this.#options.types.get(type)?.ttlMs ?? this.#options.defaultTtlMs
  }

  maxStalenessMs(type: string): number {
    return this.#options.types.get(type)?.maxStalenessMs ?? this.#options.maxStalenessMs
  }

  /** @throws OptionError */
  check(type: unknown): void {
    if (!isType(type)) throw new OptionError('ERR_TYPE_NAME', 'type', type, TYPE_NAME)
    this.checkTypo(type)
  }

  checkTypo(type: string): void {
    const { types } = this.#options
    if (types.has(type)) return
    const close = closest(type, [...types.keys()])
    if (close === undefined) return
    const message = `type ${JSON.stringify(type)} is not known: did you mean ${JSON.stringify(close)}?`
    this.#warn('ERR_TYPE_TYPO', message, type)
  }

  /**
   * Milliseconds of a TTL that a caller gives in seconds.
   * @throws OptionError
   */
  givenTtlMs(option: string, seconds: number | undefined, fallbackMs: number): number {
    const ttlMs = checkNumber(option, seconds, TTL, fallbackMs / 1000) * 1000
    if (seconds !== undefined) this.checkUnit(option, ttlMs)
    this.noteLife(ttlMs)
    return ttlMs
  }

  checkUnit(name: string, ms: number): void {
    const seconds = ms / 1000
    if (!looksLikeMilliseconds(seconds)) return
    const meant = `${name} is ${seconds} seconds, which is ${(seconds / 3600).toFixed(1)} hours: were milliseconds meant?`
    this.#warn('ERR_TTL_MILLISECONDS', `${meant} Durations are in seconds: ${seconds / 1000}`, name)
  }
}
