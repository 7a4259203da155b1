/*
 * L1: one LRU per type under common bounds. Over a bound, the type that holds most bytes gives up its least recently
 * used entry, so a flood of one type's keys leaves the others alone. lru-cache only bounds; expiry is ours, by the
 * injected clock: an entry is gone at the very instant of its end, and ended ones do not pile up.
 */
import { LRUCache } from 'lru-cache'
import type { Entry } from '../cache/entry.ts'
import type { Clock, MemoryTier } from '../cache/tiers.ts'

export interface MemoryBounds {
  readonly maxBytes: number
  readonly maxEntryBytes: number
  readonly maxEntries: number
}

/** At most once a second of the clock, and rarer the more there is to look at (50,000 entries per second). */
const SWEEP_EVERY_MS = 1000
const SWEPT_PER_MS = 50

export class Memory implements MemoryTier {
  readonly #types = new Map<string, LRUCache<string, Entry>>()
  readonly #bounds: MemoryBounds
  readonly #clock: Clock
  readonly #onEvict: (type: string, hash: string, bytes: number) => void
  #bytes = 0
  #entries = 0
  #otherBytes = 0
  #sweptAtMs: number

  constructor(bounds: MemoryBounds, clock: Clock, onEvict: (type: string, hash: string, bytes: number) => void) {
    this.#bounds = bounds
    this.#clock = clock
    this.#onEvict = onEvict
    this.#sweptAtMs = clock.monotonic()
  }

  get bytes(): number {
    return this.#bytes + this.#otherBytes
  }

  get entries(): number {
    return this.#entries
  }

  /** Per type: entries and bytes. */
  usage(): Map<string, { entries: number; bytes: number }> {
    return new Map([...this.#types].map(([type, lru]) => [type, { entries: lru.size, bytes: lru.calculatedSize }]))
  }

  get(type: string, hash: string, nowMs?: number): Entry | undefined {
    return this.#alive(this.#types.get(type)?.get(hash), nowMs)
  }

  peek(type: string, hash: string): Entry | undefined {
    return this.#alive(this.#types.get(type)?.peek(hash))
  }

  #alive(entry: Entry | undefined, nowMs: number = this.#clock.monotonic()): Entry | undefined {
    return entry !== undefined && nowMs < entry.deleteAtMs ? entry : undefined
  }

  set(type: string, hash: string, entry: Entry): boolean {
    this.#sweep()
    if (this.isTooLarge(entry.body.byteLength) || entry.bytes > this.#bounds.maxBytes) {
      this.delete(type, hash)
      return false
    }
    const lru = this.#types.get(type) ?? this.#makeType(type)
    // lru-cache disposes of nothing when it gets the very value that it has: the accounts would count it twice.
    lru.delete(hash)
    lru.set(hash, entry, { size: entry.bytes })
    this.#bytes += entry.bytes
    this.#entries++
    this.#shrink()
    return true
  }

  isTooLarge(bodyBytes: number): boolean {
    return bodyBytes > this.#bounds.maxEntryBytes
  }

  /** Whether it was there. */
  delete(type: string, hash: string): boolean {
    return this.#types.get(type)?.delete(hash) ?? false
  }

  clear(type?: string): void {
    for (const [name, lru] of type === undefined ? this.#types : [[type, this.#types.get(type)] as const]) {
      this.#bytes -= lru?.calculatedSize ?? 0
      this.#entries -= lru?.size ?? 0
      this.#types.delete(name)
    }
  }

  /** The entry counts so many bytes more from now on. It was just used, so it is among the first; if it is kept at all. */
  grow(type: string, entry: Entry, bytes: number): void {
    for (const [hash, kept] of this.#types.get(type)?.entries() ?? []) {
      if (kept !== entry) continue
      this.delete(type, hash)
      entry.bytes += bytes
      this.set(type, hash, entry)
      return
    }
  }

  /** Bytes of memos and marks, which count against the same bound. */
  account(bytes: number): void {
    this.#otherBytes += bytes
    if (bytes > 0) this.#shrink()
  }

  /** Every entry that has not ended, of one type or of all, most recently used first within its type. */
  *list(only?: string): IterableIterator<[type: string, hash: string, entry: Entry]> {
    for (const [type, lru] of this.#types) {
      if (only !== undefined && type !== only) continue
      for (const [hash, entry] of lru.entries()) if (this.#alive(entry)) yield [type, hash, entry]
    }
  }

  #makeType(type: string): LRUCache<string, Entry> {
    const lru = new LRUCache<string, Entry>({
      maxSize: this.#bounds.maxBytes,
      dispose: (entry, hash, reason) => {
        this.#bytes -= entry.bytes
        this.#entries--
        if (reason === 'evict') this.#onEvict(type, hash, entry.bytes)
      },
    })
    this.#types.set(type, lru)
    return lru
  }

  #shrink(): void {
    while (this.#entries > 0 && (this.bytes > this.#bounds.maxBytes || this.#entries > this.#bounds.maxEntries)) {
      let largest: LRUCache<string, Entry> | undefined
      for (const lru of this.#types.values()) {
        if (lru.calculatedSize > (largest?.calculatedSize ?? 0)) largest = lru
      }
      if (!largest) return
      largest.pop()
    }
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonic()
    if (nowMs - this.#sweptAtMs < Math.max(SWEEP_EVERY_MS, this.#entries / SWEPT_PER_MS)) return
    this.#sweptAtMs = nowMs
    for (const [type, lru] of this.#types) {
      const ended: string[] = []
      for (const [hash, entry] of lru.entries()) if (nowMs >= entry.deleteAtMs) ended.push(hash)
      for (const hash of ended) lru.delete(hash)
      if (lru.size === 0) this.#types.delete(type)
    }
  }
}
