/*
 * The seams of the cache: a clock, a memory tier and a shared tier. Nothing here knows HTTP or Redis.
 * Times inside the code are milliseconds of the monotonic clock unless a name says otherwise.
 */
import type { Entry } from './entry.ts'

/** `now` is wall time, `monotonic` never goes back; both in milliseconds. Tests inject their own. */
export interface Clock {
  now(): number
  monotonic(): number
  setTimeout(callback: () => void, ms: number): unknown
  clearTimeout(handle: unknown): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms).unref(),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
}

/** The latest time until which one request (or one piece of background work) waits for the shared tier, all trips together. */
export interface Deadline {
  readonly atMs: number
  /** True for the steps of a recovery, which may talk to a tier that requests must still leave alone. */
  readonly recovering: boolean
}

/** The deadline of a request that has waited for something else than the shared tier since then. */
export function putOff(deadline: Deadline, clock: Clock, sinceMs: number): Deadline {
  return { ...deadline, atMs: deadline.atMs + clock.monotonic() - sinceMs }
}

/** L1: bounded, per type, expiry by the injected clock. */
export interface MemoryTier {
  /** The entry, whatever its age (until it may be deleted); marks it as recently used. */
  get(type: string, hash: string, nowMs?: number): Entry | undefined
  peek(type: string, hash: string): Entry | undefined
  /** False when the entry is larger than one entry may be. */
  set(type: string, hash: string, entry: Entry): boolean
  /** Whether a body of so many bytes is larger than one entry may be. */
  isTooLarge(bodyBytes: number): boolean
  delete(type: string, hash: string): void
  clear(type?: string): void
}

/** One epoch to raise: the new one must be greater than `floor`. */
export interface Raise {
  readonly tag: string
  readonly floor: number
}

/** What is there of an entry. */
export interface Fetched {
  readonly envelope: Buffer | undefined
  /** What is left of the envelope's life. */
  readonly ttlMs: number
}

export interface SharedLookup extends Fetched {
  /** One per tag asked, in order; `undefined` where the epoch could not be read (an error reply for that key). */
  readonly epochs: readonly (number | undefined)[]
}

/** Whether the caller has the lock, and the entry as it was then. */
export interface Locked extends Fetched {
  readonly held: boolean
}

/** The entry, and whether anybody had the lock before. */
export interface Watched extends Fetched {
  readonly locked: boolean
}

/**
 * L2 and the truth about epochs. Every method rejects with a TierError when the tier did not answer by the deadline, and
 * returns plain data otherwise. An error reply to one epoch is not an outage: it shows as `undefined` at its place.
 */
export interface SharedTier {
  /** Changes whenever the connection is lost or the breaker opens: a reply to a question of another link does not count. */
  readonly link: number
  /** True when a request may wait for an answer now. No I/O. */
  isUp(): boolean
  /** Entry and epochs in one round trip (missing epochs are opened in a second). */
  lookup(type: string, hash: string, tags: readonly string[], deadline: Deadline): Promise<SharedLookup>
  /** The epochs of these tags, opened where missing. */
  readEpochs(tags: readonly string[], deadline: Deadline): Promise<readonly (number | undefined)[]>
  /** Raise all of these in one round trip and tell everybody; `undefined` where it was refused. */
  raise(raises: readonly Raise[], cause: string, deadline: Deadline): Promise<readonly (number | undefined)[]>
  /** Raise one unless its epoch is there and differs from `known`; returns the epoch as it is then. */
  raiseUnlessChanged(raise: Raise, known: number, deadline: Deadline): Promise<number | undefined>
  /**
   * The epoch of a tag that only an answer revealed, and whether it may have been raised within the last `elapsedMs`
   * (counted to the arrival of the reply, by the shared tier's own clock). A missing one is set to before that.
   */
  reveal(
    tag: string,
    beganAtMs: number,
    deadline: Deadline,
  ): Promise<{ readonly epoch: number; readonly raisedSince: boolean } | undefined>
  /** The envelope in parts, which nobody may change from now on. */
  set(type: string, hash: string, envelope: readonly Buffer[], ttlMs: number, deadline: Deadline): Promise<void>
  /**
   * Takes the lock if nobody has it, and then looks at the entry: before the lock was free, another worker may have stored
   * it. `token` tells this holding from others of the same worker.
   */
  lock(
    type: string,
    hash: string,
    stampsHash: string,
    token: string,
    ttlMs: number,
    deadline: Deadline,
  ): Promise<Locked>
  unlock(type: string, hash: string, stampsHash: string, token: string, deadline: Deadline): Promise<void>
  /** One look at an entry that another worker is computing. */
  watch(type: string, hash: string, stampsHash: string, deadline: Deadline): Promise<Watched>
}
