/*
 * The locks of the single flight across workers: each is a key beside the entry that is being computed, and its value tells who
 * computes it.
 */
import type { Deadline, Fetched, Locked, Watched } from '../cache/tiers.ts'
import type { Commands } from './redis-client.ts'
import type { RedisLink } from './redis-link.ts'

export interface LocksOptions {
  readonly client: Commands
  readonly link: RedisLink
  readonly isCluster: boolean
  readonly workerId: string
  /** The entry and its life, of one moment. */
  readonly fetch: (entryKey: string) => Promise<Fetched>
}

export class Locks {
  readonly #options: LocksOptions

  constructor(options: LocksOptions) {
    this.#options = options
  }

  /** Takes the lock if nobody has it, then looks at the entry. */
  async take(entryKey: string, stampsHash: string, token: string, ttlMs: number, deadline: Deadline): Promise<Locked> {
    const { client, link, isCluster, fetch } = this.#options
    const key = lockKey(entryKey, stampsHash)
    const px = Math.max(1, Math.ceil(ttlMs))
    let asked: Promise<unknown> | undefined
    try {
      return await link.run('lock', deadline, async () => {
        asked = client.set(key, this.#value(token), 'PX', px, 'NX')
        // One server answers in the order of asking; the nodes of a cluster know of no order between them.
        if (isCluster) await asked
        // Hardly ever is there anything, and EXISTS costs a part of what a look costs.
        const [reply, count] = await Promise.all([asked, client.exists(entryKey)])
        const found = count > 0 ? await fetch(entryKey) : { envelope: undefined, ttlMs: 0 }
        return { held: reply !== null, ...found }
      })
    } catch (error) {
      // Set after all, when nobody here waits for it any more: it would hold up the others for its whole life.
      asked?.then(() => client.registryCacheUnlock(key, this.#value(token))).catch(() => {})
      throw error
    }
  }

  async release(entryKey: string, stampsHash: string, token: string, deadline: Deadline): Promise<void> {
    const { client, link } = this.#options
    await link.run('unlock', deadline, () =>
      client.registryCacheUnlock(lockKey(entryKey, stampsHash), this.#value(token)),
    )
  }

  async watch(entryKey: string, stampsHash: string, deadline: Deadline): Promise<Watched> {
    const { client, link, fetch } = this.#options
    const [locks, entry] = await link.run('watch', deadline, () =>
      // The lock is looked at first: a lock that is gone by then has left its entry before.
      Promise.all([client.exists(lockKey(entryKey, stampsHash)), fetch(entryKey)]),
    )
    return { ...entry, locked: locks > 0 }
  }

  #value(token: string): string {
    return `${this.#options.workerId}:${token}`
  }
}

function lockKey(entryKey: string, stampsHash: string): string {
  return `${entryKey}:@lock:${stampsHash}`
}
