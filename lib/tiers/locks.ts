/*
 * The locks of the single flight across workers: each is a key beside the entry that is being computed, and its value tells who
 * computes it. Misses whose look-ups came back together take theirs together.
 */
import type { Deadline, Locked, Watched } from '../cache/tiers.ts'
import { Batches, type BatchesOptions } from './batches.ts'
import type { Commands } from './redis-client.ts'
import type { RedisLink } from './redis-link.ts'

export interface LocksOptions {
  readonly client: Commands
  readonly link: RedisLink
  readonly isCluster: boolean
  readonly workerId: string
  readonly batches: BatchesOptions
  /** The entry and its life, of one moment. */
  readonly fetch: (entryKey: string) => Promise<{ readonly envelope: Buffer | undefined; readonly ttlMs: number }>
}

interface Lock {
  readonly key: string
}

interface LockToTake extends Lock {
  readonly entryKey: string
  readonly token: string
  readonly px: number
}

export class Locks {
  readonly #options: LocksOptions
  readonly #toTake: Batches<LockToTake, Locked>
  readonly #toRelease: Batches<Lock, undefined>

  constructor(options: LocksOptions) {
    this.#options = options
    this.#toTake = new Batches((locks, deadline) => this.#takeAll(locks, deadline), options.batches)
    this.#toRelease = new Batches((locks, deadline) => this.#releaseAll(locks, deadline), options.batches)
  }

  async take(entryKey: string, stampsHash: string, token: string, ttlMs: number, deadline: Deadline): Promise<Locked> {
    const lock: LockToTake = {
      key: lockKey(entryKey, stampsHash),
      entryKey,
      token: `${this.#options.workerId}:${token}`,
      px: Math.max(1, Math.ceil(ttlMs)),
    }
    return await this.#toTake.ask(lock, deadline)
  }

  /**
   * For the holder, while the lock lives by its clock. Should the lock end before this arrives, and another worker take it, then that
   * one's goes, and a third may compute what the second computes: one computation too many, and no harm.
   */
  async release(entryKey: string, stampsHash: string, deadline: Deadline): Promise<void> {
    await this.#toRelease.ask({ key: lockKey(entryKey, stampsHash) }, deadline)
  }

  async watch(entryKey: string, stampsHash: string, deadline: Deadline): Promise<Watched> {
    const { client, link, fetch } = this.#options
    const [locks, entry] = await link.run('watch', deadline, () =>
      // The lock is looked at first: a lock that is gone by then has left its entry before.
      Promise.all([client.exists(lockKey(entryKey, stampsHash)), fetch(entryKey)]),
    )
    return { ...entry, locked: locks > 0 }
  }

  async #takeAll(locks: readonly LockToTake[], deadline: Deadline): Promise<Locked[]> {
    const { client, link, isCluster, fetch } = this.#options
    const keys = locks.map(({ key }) => key)
    const entryKeys = locks.map(({ entryKey }) => entryKey)
    let asked: Promise<(number | string)[]> | undefined
    try {
      return await link.run('lock', deadline, async () => {
        asked = client.registryCacheLock(keys.length, ...keys, ...locks.flatMap(({ px, token }) => [px, token]))
        // One server answers in the order of asking; the nodes of a cluster know of no order between them.
        if (isCluster) await asked
        // Hardly ever is there anything, and EXISTS costs a part of what a look costs.
        const [held, count] = await Promise.all([asked, client.exists(...entryKeys)])
        const entries = await Promise.all(entryKeys.map((key) => (count > 0 ? fetch(key) : NOTHING)))
        return entries.map((entry, i) => ({ ...entry, held: Number(held[i]) === 1 }))
      })
    } catch (error) {
      // Set after all, when nobody here waits for it any more: it would hold up the others for its whole life.
      asked?.then((held) => this.#delete(locks.filter((_lock, i) => Number(held[i]) === 1))).catch(() => {})
      throw error
    }
  }

  async #releaseAll(locks: readonly Lock[], deadline: Deadline): Promise<readonly undefined[]> {
    await this.#options.link.run('unlock', deadline, () => this.#delete(locks))
    return []
  }

  async #delete(locks: readonly Lock[]): Promise<void> {
    if (locks.length > 0) await this.#options.client.del(...locks.map(({ key }) => key))
  }
}

const NOTHING = { envelope: undefined, ttlMs: 0 }

function lockKey(entryKey: string, stampsHash: string): string {
  return `${entryKey}:@lock:${stampsHash}`
}
