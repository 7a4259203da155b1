/*
 * Keys and values with their expiry, as one database of a Redis keeps them.
 */
import type { Clock } from '../cache/tiers.ts'

/** A string, or the fields of a hash or members and scores of a sorted set. */
type Value = Buffer | Map<string, string>

interface Kept {
  readonly value: Value
  endsAtMs: number
}

/** As ioredis gives an error reply. */
class WrongType extends Error {
  override readonly name = 'ReplyError'

  constructor() {
    super('WRONGTYPE Operation against a key holding the wrong kind of value')
  }
}

export class FakeStore {
  readonly #kept = new Map<string, Kept>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Throws for what is no string. */
  get(key: string): Buffer | null {
    const value = this.#alive(key)?.value
    if (value instanceof Map) throw new WrongType()
    return value ?? null
  }

  /** As MGET reads: what is no string is not there. */
  string(key: string): Buffer | null {
    const value = this.#alive(key)?.value
    return value === undefined || value instanceof Map ? null : value
  }

  /** Made where there is none. Throws for a string. */
  map(key: string): Map<string, string> {
    const kept = this.#alive(key) ?? { value: new Map<string, string>(), endsAtMs: Number.POSITIVE_INFINITY }
    if (!(kept.value instanceof Map)) throw new WrongType()
    this.#kept.set(key, kept)
    return kept.value
  }

  expire(key: string, ttlMs: number): void {
    const kept = this.#alive(key)
    if (kept) kept.endsAtMs = this.#clock.monotonic() + ttlMs
  }

  has(key: string): boolean {
    return this.#alive(key) !== undefined
  }

  /** Without `ttlMs` it stays. */
  set(key: string, value: Buffer | string, ttlMs: number = Number.POSITIVE_INFINITY): void {
    this.#kept.set(key, { value: Buffer.from(value), endsAtMs: this.#clock.monotonic() + ttlMs })
  }

  /** Milliseconds; -1 without an end, -2 where there is nothing. */
  pttl(key: string): number {
    const kept = this.#alive(key)
    if (!kept) return -2
    return kept.endsAtMs === Number.POSITIVE_INFINITY ? -1 : Math.ceil(kept.endsAtMs - this.#clock.monotonic())
  }

  delete(key: string): boolean {
    const isThere = this.has(key)
    this.#kept.delete(key)
    return isThere
  }

  keys(): string[] {
    return [...this.#kept.keys()].filter((key) => this.has(key)).sort()
  }

  clear(): void {
    this.#kept.clear()
  }

  #alive(key: string): Kept | undefined {
    const kept = this.#kept.get(key)
    const isEmpty = kept?.value instanceof Map && kept.value.size === 0
    if (!kept || (!isEmpty && this.#clock.monotonic() < kept.endsAtMs)) return kept
    this.#kept.delete(key)
    return undefined
  }
}
