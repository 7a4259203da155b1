/*
 * Single flight: of the requests that miss one key under the same stamps, one computes and the others wait for it.
 *
 * A request may join only while the flight's stamps are its own: a flight that began before an invalidation answers
 * those who were already waiting and nobody who came later. So two flights of one key may run side by side; the end of
 * the older one leaves the newer alone. A flight always ends for its followers: answered, failed, abandoned (its leader
 * went away) or overdue.
 */
import type { Entry, Stamps } from './entry.ts'
import type { Clock } from './tiers.ts'

/** How a flight ended. `abandoned` and `overdue`: there is no answer yet, and someone else should compute. */
export type Landing =
  /** `variant`: the hash of the leader's variant, where the answer varies by headers. */
  | { readonly kind: 'answered'; readonly entry: Entry; readonly variant: string | undefined }
  | { readonly kind: 'failed'; readonly error?: unknown }
  /** The loader gave undefined, which is an answer but not one that is kept. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'abandoned' | 'overdue' | 'unshareable' }

export class Flight {
  readonly stamps: Stamps
  /** When its handler started, by the monotonic clock. */
  startedAtMs: number | undefined
  isFollowed = false
  #landing: Landing | undefined
  #landed: Promise<Landing> | undefined
  #resolve: ((landing: Landing) => void) | undefined
  readonly #onLand: () => void

  constructor(stamps: Stamps, onLand: () => void) {
    this.stamps = stamps
    this.#onLand = onLand
  }

  get isOpen(): boolean {
    return this.#landing === undefined
  }

  /** How it ended; never rejects. Made for those who wait: most flights have none. */
  get landed(): Promise<Landing> {
    this.#landed ??= new Promise((resolve) => {
      if (this.#landing) resolve(this.#landing)
      else this.#resolve = resolve
    })
    return this.#landed
  }

  /** Ends it for all followers. Only the first call counts. */
  land(landing: Landing): void {
    if (this.#landing) return
    this.#landing = landing
    this.#onLand()
    this.#resolve?.(landing)
  }
}

export class Flights {
  readonly #open = new Map<string, Flight>()
  readonly #clock: Clock
  readonly #boundMs: number

  /** `boundMs`: how long followers wait for a handler. */
  constructor(clock: Clock, boundMs: number) {
    this.#clock = clock
    this.#boundMs = boundMs
  }

  get size(): number {
    return this.#open.size
  }

  has(key: string): boolean {
    return this.#open.has(key)
  }

  /** The open flight of this key with exactly these stamps. */
  find(key: string, stamps: Stamps): Flight | undefined {
    const flight = this.#open.get(key)
    if (flight === undefined || !areSame(flight.stamps, stamps)) return undefined
    if (this.#leftMs(flight) <= 0) flight.land({ kind: 'overdue' })
    return flight.isOpen ? flight : undefined
  }

  /** Opens a flight; an older one of the key goes on for those who are in it. */
  lead(key: string, stamps: Stamps): Flight {
    const flight = new Flight(stamps, () => {
      if (this.#open.get(key) === flight) this.#open.delete(key)
    })
    this.#open.set(key, flight)
    return flight
  }

  /** The handler runs from now on: a silent one keeps followers no longer than the bound. */
  handlerStarted(flight: Flight): void {
    flight.startedAtMs = this.#clock.monotonic()
    if (flight.isFollowed) this.#bound(flight)
  }

  /** How it ends. Only a flight that somebody waits for needs a timer. */
  follow(flight: Flight): Promise<Landing> {
    const isFirst = !flight.isFollowed
    flight.isFollowed = true
    if (isFirst && flight.startedAtMs !== undefined) this.#bound(flight)
    return flight.landed
  }

  #bound(flight: Flight): void {
    if (!flight.isOpen) return
    const timer = this.#clock.setTimeout(() => flight.land({ kind: 'overdue' }), Math.max(0, this.#leftMs(flight)))
    void flight.landed.then(() => this.#clock.clearTimeout(timer))
  }

  /** Of the time that its handler may keep followers waiting. */
  #leftMs(flight: Flight): number {
    const { startedAtMs } = flight
    return startedAtMs === undefined ? Infinity : startedAtMs + this.#boundMs - this.#clock.monotonic()
  }
}

/** Equal pairs in equal order: stamps of one key are always made in the order of its tags. */
export function areSame(a: Stamps, b: Stamps): boolean {
  if (a.tags.length !== b.tags.length) return false
  for (let i = 0; i < a.tags.length; i++) {
    if (a.tags[i] !== b.tags[i] || a.epochs[i] !== b.epochs[i]) return false
  }
  return true
}
