/*
 * Pub/sub of a fake Redis. What one command or script publishes is one publication; a publication that nothing holds up is
 * delivered before its publisher gets its reply.
 */
import type { Clock } from '../cache/tiers.ts'

/** What one command or script published. An invalidation is one for each tag, of two messages, dependent types included. */
export interface Publication {
  readonly channel: string
  readonly messages: readonly string[]
}

export interface FakeBus {
  /** Loses the next so many publications, for all subscribers. Default: all from now on; 0: none any more. */
  drop(publications?: number): void
  /** Keeps back every publication until `release`. */
  hold(): void
  /** Delivers every publication so many milliseconds (of the injected clock) late; 0: at once again. */
  delay(ms: number): void
  /**
   * Delivers what was held, in order, or reversed (`reorder: true`), or as a function returns it, and holds no more. Returns how
   * many publications that were.
   */
  release(options?: { readonly reorder?: boolean | ((held: Publication[]) => readonly Publication[]) }): number
  /** Drops every connection that listens; none is heard from again until `reconnect`. What was held for them is lost. */
  disconnect(): void
  reconnect(): void
  /** Publications that are kept back now. */
  readonly held: readonly Publication[]
  /** How many were lost by `drop`. */
  readonly dropped: number
}

export interface Listener {
  /** Its connection is lost. */
  drop(): void
  hear(channel: string, message: string): void
}

interface Subscription {
  readonly listener: Listener
  readonly channel: string
}

interface Delivery extends Publication {
  /** Those who listened when it was published, as a real server sends it. */
  readonly to: readonly Subscription[]
}

export class Bus implements FakeBus {
  readonly #clock: Clock
  readonly #subscriptions = new Set<Subscription>()
  #held: Delivery[] = []
  #isHolding = false
  #delayMs = 0
  #dropNext = 0
  #dropped = 0
  #isConnected = true
  #onReconnect: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get held(): readonly Publication[] {
    return this.#held.map(({ channel, messages }) => ({ channel, messages }))
  }

  get dropped(): number {
    return this.#dropped
  }

  drop(publications: number = Number.POSITIVE_INFINITY): void {
    this.#dropNext = publications
  }

  hold(): void {
    this.#isHolding = true
  }

  delay(ms: number): void {
    this.#delayMs = ms
  }

  release({ reorder = false }: Parameters<FakeBus['release']>[0] = {}): number {
    this.#isHolding = false
    const held = this.#held.splice(0)
    const ordered = typeof reorder === 'function' ? reorder([...held]) : reorder ? held.reverse() : held
    for (const publication of ordered) {
      const { to } = publication as Delivery
      if (!to) throw new TypeError('reorder returned a publication that was not held')
      this.#deliver(publication as Delivery)
    }
    return ordered.length
  }

  disconnect(): void {
    this.#isConnected = false
    this.#held = []
    for (const { listener } of [...this.#subscriptions]) listener.drop()
  }

  reconnect(): void {
    this.#isConnected = true
    for (const resolve of this.#onReconnect.splice(0)) resolve()
  }

  /** Resolves once subscriptions are taken: at once, or after `reconnect`. */
  async connected(): Promise<void> {
    while (!this.#isConnected) await new Promise<void>((resolve) => this.#onReconnect.push(resolve))
  }

  subscribe(listener: Listener, channel: string): void {
    this.#subscriptions.add({ listener, channel })
  }

  /** The listener's connection is gone, and its subscriptions with it. */
  forget(listener: Listener): void {
    for (const one of [...this.#subscriptions]) if (one.listener === listener) this.#subscriptions.delete(one)
  }

  /** Returns how many listen. */
  publish(channel: string, messages: readonly string[]): number {
    const to = [...this.#subscriptions].filter((one) => one.channel === channel)
    if (this.#dropNext > 0) {
      this.#dropNext--
      this.#dropped++
      return to.length
    }
    const delivery: Delivery = { channel, messages, to }
    if (this.#isHolding) this.#held.push(delivery)
    else if (this.#delayMs > 0) this.#clock.setTimeout(() => this.#deliver(delivery), this.#delayMs)
    else this.#deliver(delivery)
    return to.length
  }

  #deliver({ channel, messages, to }: Delivery): void {
    for (const subscription of to) {
      for (const message of messages) {
        if (this.#subscriptions.has(subscription)) subscription.listener.hear(channel, message)
      }
    }
  }
}
