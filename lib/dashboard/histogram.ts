/*
 * Percentiles of the last five minutes in constant memory: counts in buckets that grow by 9 % each, in ten windows of half a
 * minute, the oldest of which is given up as a new one begins. A percentile is right to within 4.5 %.
 */
import type { Clock } from '../cache/tiers.ts'
import type { Durations } from './wire.ts'

/** From 1 microsecond to 18 minutes. */
const PER_OCTAVE = 8
const OCTAVES = 30
const BUCKETS = PER_OCTAVE * OCTAVES
const WINDOWS = 10
const WINDOW_MS = 30_000

export class RecentDurations {
  readonly #clock: Clock
  readonly #windows = Array.from({ length: WINDOWS }, () => new Uint32Array(BUCKETS))
  /** The number of the window that is being filled, counted from the clock's zero. */
  #current: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#current = windowAt(clock)
  }

  add(ms: number): void {
    this.#turn()
    const bucket = Math.min(BUCKETS - 1, Math.max(0, Math.floor(Math.log2(ms * 1000) * PER_OCTAVE)))
    const counts = this.#windows[this.#current % WINDOWS]
    if (counts) counts[bucket] = (counts[bucket] ?? 0) + 1
  }

  read(): Durations {
    this.#turn()
    const sums = new Float64Array(BUCKETS)
    let count = 0
    for (const counts of this.#windows) {
      for (let i = 0; i < BUCKETS; i++) sums[i] = (sums[i] ?? 0) + (counts[i] ?? 0)
    }
    for (const sum of sums) count += sum
    if (count === 0) return { count }
    return { count, p50Ms: percentile(sums, count, 0.5), p99Ms: percentile(sums, count, 0.99) }
  }

  /** Empties the windows that time has passed over. */
  #turn(): void {
    const now = windowAt(this.#clock)
    const passed = Math.min(WINDOWS, now - this.#current)
    for (let i = 0; i < passed; i++) this.#windows[(now - i) % WINDOWS]?.fill(0)
    this.#current = now
  }
}

function windowAt(clock: Clock): number {
  return Math.floor(clock.monotonic() / WINDOW_MS)
}

/** The middle of the bucket that the rank falls into, three digits of it. */
function percentile(sums: Float64Array, count: number, share: number): number {
  const rank = Math.ceil(count * share)
  let seen = 0
  const bucket = sums.findIndex((sum) => {
    seen += sum
    return seen >= rank
  })
  return Number((2 ** ((bucket + 0.5) / PER_OCTAVE) / 1000).toPrecision(3))
}
