/*
 * What a worker can tell by itself: its entries in L1, under its records of the epochs. Nothing here waits for anything.
 */
import type { Entry, Stamps } from './entry.ts'
import type { Epochs } from './epochs.ts'
import type { Questions } from './questions.ts'
import type { Missed, Reading, Wanted } from './reading.ts'
import type { Clock, MemoryTier, SharedTier } from './tiers.ts'

export interface LocalOptions {
  readonly clock: Clock
  readonly memory: MemoryTier
  readonly shared: SharedTier | undefined
  readonly epochs: Epochs
  readonly questions: Questions | undefined
  readonly whenRedisIsDown: 'serve-memory' | 'bypass'
}

export class Local {
  readonly #options: LocalOptions
  /** Of the last miss of each type. */
  readonly #stamps = new Map<string, Stamps>()

  constructor(options: LocalOptions) {
    this.#options = options
  }

  /** The entry that may be served without asking anybody, fresh or not. */
  find(wanted: Wanted, nowMs: number = this.#options.clock.monotonic()): Entry | undefined {
    const entry = this.inMemory(wanted, nowMs)
    if (!entry) return undefined
    return nowMs < entry.deleteAtMs && this.#isKnownCurrent(entry, wanted, nowMs) ? entry : undefined
  }

  /** This reader's entry, whatever is known of its stamps. */
  inMemory(wanted: Wanted, nowMs?: number): Entry | undefined {
    const { memory } = this.#options
    const entry = memory.get(wanted.type, wanted.hash, nowMs)
    if (entry?.kind !== 'vary') return entry && this.accepted(wanted, entry)
    if (!wanted.variant || !this.isCurrent(entry, wanted.tags)) return undefined
    return this.accepted(wanted, memory.get(wanted.type, wanted.variant(entry.vary)))
  }

  /** The entry, if it is one that this reader takes. */
  accepted(wanted: Wanted, entry: Entry | undefined): Entry | undefined {
    return entry === undefined || wanted.accepts === undefined || wanted.accepts(entry) ? entry : undefined
  }

  /** Every stamp equals its record, every tag of the request has one, and all are known. Asks ahead when half-way stale. */
  #isKnownCurrent(entry: Entry, wanted: Wanted, nowMs: number): boolean {
    const { epochs, shared, questions } = this.#options
    const { tags, maxStalenessMs } = wanted
    for (let i = 0; i < entry.tags.length; i++) {
      const record = epochs.record(entry.tags[i] as string)
      if (record.epoch !== entry.epochs[i] || !epochs.isKnown(record, nowMs, maxStalenessMs)) return false
      if (shared && nowMs - record.verifiedAtMs > maxStalenessMs / 2) questions?.askInBackground(record)
    }
    for (const tag of tags) if (!entry.tags.includes(tag)) return false
    return true
  }

  /** Every stamp equals its record, known or not, and each of these tags has one. */
  isCurrent(stamps: Stamps, tags: readonly string[] = []): boolean {
    const { epochs } = this.#options
    return (
      stamps.tags.every((tag, i) => epochs.record(tag).epoch === stamps.epochs[i]) &&
      tags.every((tag) => stamps.tags.includes(tag))
    )
  }

  /** Those of the tags whose record may not be believed without asking. */
  unknown(tags: readonly string[], maxStalenessMs: number): string[] {
    const { epochs, clock } = this.#options
    const nowMs = clock.monotonic()
    return tags.filter((tag) => !epochs.isKnown(epochs.record(tag), nowMs, maxStalenessMs))
  }

  /** Without a shared tier, or while it is left alone. */
  readAlone(wanted: Wanted): Reading {
    if (this.mayNotUseMemory(wanted)) return this.missed(wanted, 'none', true)
    const entry = this.current(wanted)
    if (entry && this.#options.clock.monotonic() < entry.staleAtMs) return { entry, tier: 'memory' }
    return this.missed(wanted, 'memory', this.#options.shared !== undefined, entry)
  }

  /** While the shared tier is left alone, whether this reader can have nothing from memory either. */
  mayNotUseMemory(wanted: Wanted): boolean {
    const { shared, whenRedisIsDown } = this.#options
    return shared !== undefined && (whenRedisIsDown === 'bypass' || wanted.maxStalenessMs === 0)
  }

  /** The hash of this reader's variant, as far as is known here by which headers the answers vary. */
  resolve(wanted: Wanted): string {
    const base = wanted.variant && this.#options.memory.peek(wanted.type, wanted.hash)
    return base?.kind === 'vary' && this.isCurrent(base) ? (wanted.variant?.(base.vary) ?? wanted.hash) : wanted.hash
  }

  /** A miss that begins now. */
  missed(wanted: Wanted, reach: Missed['reach'], isDown = false, stale?: Entry): Missed {
    const { epochs } = this.#options
    return {
      hash: this.resolve(wanted),
      stamps: this.#stampsOf(wanted),
      reach,
      began: epochs.moment(),
      stale,
      isDown,
    }
  }

  /** As they are now. Misses of one route in a row are mostly under the same numbers, and then their entries share the pairs. */
  #stampsOf({ type, tags }: Wanted): Stamps {
    const { epochs } = this.#options
    const last = this.#stamps.get(type)
    if (last?.tags === tags && tags.every((tag, i) => epochs.record(tag).epoch === last.epochs[i])) return last
    const stamps = { tags, epochs: tags.map((tag) => epochs.record(tag).epoch) }
    this.#stamps.set(type, stamps)
    return stamps
  }

  /** The entry in L1 under the records as they are, fresh or not. */
  current(wanted: Wanted): Entry | undefined {
    const entry = this.inMemory(wanted)
    const isUsable = entry && this.#options.clock.monotonic() < entry.deleteAtMs && this.isCurrent(entry, wanted.tags)
    return isUsable ? entry : undefined
  }
}
