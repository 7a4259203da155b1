/*
 * Single flight across workers: whoever sets the lock computes, the others wait for the entry. The lock's name contains
 * a hash of the stamps, so a computation that an invalidation has made obsolete blocks nobody. Waiting for another
 * worker is not waiting for Redis: it is bounded by the lock's life, and only each look at Redis has its deadline.
 */
import type { Cache } from './cache.ts'
import { decodeEntry, type Entry, lifetimeMs, makeEntry, type Stamps } from './entry.ts'
import { areSame } from './flights.ts'
import { hash32 } from './json.ts'
import type { Missed, Wanted } from './reading.ts'
import type { Deadline, SharedTier } from './tiers.ts'

/** Ends a turn: now, where nothing is stored, or when the storing has ended. */
export type Done = (stored?: Promise<unknown>) => void

export type Turn =
  /** Compute, and call `done`. */
  | { readonly entry: undefined; readonly done: Done }
  /** Another worker has computed it. */
  | { readonly entry: Entry }

const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 200
const nothing = (): void => {}

export class Fleet {
  readonly #cache: Cache
  readonly #lockTtlMs: number
  #turns = 0
  #hashed: { readonly stamps: Stamps; readonly hash: string } | undefined

  constructor(cache: Cache, lockTtlMs: number) {
    this.#cache = cache
    this.#lockTtlMs = lockTtlMs
  }

  /**
   * Resolves when it is this worker's turn to compute, or with the entry when another was quicker. `deadline` is what is
   * left to the request for Redis: it bounds the asking for the lock, not the waiting for another worker. With `stale`,
   * an entry that may be served meanwhile, it is that entry in place of waiting. Never rejects.
   */
  async turn(wanted: Wanted, missed: Missed, deadline: Deadline, stale?: Entry): Promise<Turn> {
    const { shared, clock } = this.#cache.options
    const isAlone = this.#lockTtlMs === 0 || missed.reach !== 'both' || clock.monotonic() >= deadline.atMs
    if (!shared?.isUp() || isAlone) return { entry: undefined, done: nothing }
    const { type } = wanted
    const { hash } = missed
    const stampsHash = this.#hashOf(missed.stamps)
    const token = `${++this.#turns}`
    const endsAtMs = clock.monotonic() + this.#lockTtlMs
    const done = this.#doneOf(shared, type, hash, stampsHash, token)
    const entryOf = (look: { envelope: Buffer | undefined; ttlMs: number }, sentAtMs: number, until: Deadline) =>
      // Counted from when it was asked for: its way here is part of its life.
      look.envelope && this.#take(wanted, missed, look.envelope, look.ttlMs - (clock.monotonic() - sentAtMs), until)
    /** Undefined when it is another worker's turn. */
    const tryLock = async (until: Deadline): Promise<Turn | undefined> => {
      const sentAtMs = clock.monotonic()
      const look = await shared.lock(type, hash, stampsHash, token, this.#lockTtlMs, until)
      const entry = await entryOf(look, sentAtMs, until)
      if (entry === undefined) return look.held ? { entry, done } : undefined
      if (look.held) done()
      return { entry }
    }
    try {
      const turn = await tryLock(deadline)
      if (turn) return turn
      if (stale) return { entry: stale }
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
        const leftMs = endsAtMs - clock.monotonic()
        if (leftMs <= 0) break
        await new Promise<void>((resolve) => clock.setTimeout(resolve, Math.min(pauseMs, leftMs)))
        const sentAtMs = clock.monotonic()
        const until = this.#cache.deadline()
        const look = await shared.watch(type, hash, stampsHash, until)
        const entry = await entryOf(look, sentAtMs, until)
        if (entry) return { entry }
        const turn = look.locked ? undefined : await tryLock(this.#cache.deadline())
        if (turn) return turn
      }
    } catch {
      // Redis does not answer: compute.
    }
    return { entry: undefined, done: nothing }
  }

  /** Apart from `turn`, or all that belongs to a request would live until the lock is gone. */
  #doneOf(shared: SharedTier, type: string, hash: string, stampsHash: string, token: string): Done {
    const unlock = async (stored: Promise<unknown> | undefined): Promise<void> => {
      // The lock goes after the entry is there, or those who wait for it would compute it again.
      if (stored) await stored.catch(nothing)
      if (shared.isUp()) await shared.unlock(type, hash, stampsHash, token, this.#cache.deadline()).catch(nothing)
    }
    return (stored) => this.#cache.options.inBackground(unlock(stored), 'unlock')
  }

  /** The entry that was found, when it was computed under this miss's own stamps; or the variant that it points to. */
  async #take(
    wanted: Wanted,
    missed: Missed,
    envelope: Buffer,
    ttlMs: number,
    until: Deadline,
  ): Promise<Entry | undefined> {
    const decoded = decodeEntry(envelope)
    if (!decoded || ttlMs <= 0) return undefined
    const { content, stamps } = decoded
    const asked = { tags: stamps.tags.slice(0, missed.stamps.tags.length), epochs: stamps.epochs }
    const isOurs = areSame({ ...asked, epochs: stamps.epochs.slice(0, asked.tags.length) }, missed.stamps)
    if (!isOurs || !this.#cache.isCurrent(missed.stamps)) return undefined
    if (content.kind === 'vary' || stamps.tags.length > asked.tags.length) {
      const reading = await this.#cache.read(wanted, until)
      return 'entry' in reading ? reading.entry : undefined
    }
    const { memory, clock } = this.#cache.options
    const entry = makeEntry(content, stamps, clock.monotonic(), Math.min(ttlMs, lifetimeMs(content)), wanted.origin)
    if (wanted.accepts && !wanted.accepts(entry)) return undefined
    memory.set(wanted.type, missed.hash, entry)
    return clock.monotonic() < entry.staleAtMs ? entry : undefined
  }

  /** Misses in a row are mostly of one type, under the same stamps. */
  #hashOf(stamps: Stamps): string {
    if (this.#hashed && areSame(this.#hashed.stamps, stamps)) return this.#hashed.hash
    const hash = hash32(JSON.stringify([stamps.tags, stamps.epochs])).slice(0, 16)
    this.#hashed = { stamps, hash }
    return hash
  }
}
