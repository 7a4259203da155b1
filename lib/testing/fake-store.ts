/*
 * Keys and values with their expiry, as one database of a Redis keeps them.
 */
import type { Clock } from '../cache/tiers.ts'

interface Kept {
  readonly value: Buffer
  readonly endsAtMs: number
}

export class FakeStore {
  readonly #kept = new Map<string, Kept>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get(key: string): Buffer | null {
    return this.#alive(key)?.value ?? null
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
    if (!kept || this.#clock.monotonic() < kept.endsAtMs) return kept
    this.#kept.delete(key)
    return undefined
  }
}
