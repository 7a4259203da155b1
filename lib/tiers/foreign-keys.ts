/*
 * For mixed fleets: removes the plain keys that workers of the older system stored for a type, in the background and in
 * batches, once Redis was told that the type is invalid. Exactly that type, and never a key with `:@` (our epochs and
 * locks). Entries of ours look alike and go along, which costs a miss.
 */
import type { Deadline } from '../cache/tiers.ts'
import type { Commands } from './redis-client.ts'
import type { RedisLink } from './redis-link.ts'

export interface ForeignKeysOptions {
  readonly client: Commands
  readonly link: RedisLink
  readonly isCluster: boolean
  readonly prefix: string
  /** For each batch anew. */
  readonly deadline: () => Deadline
  readonly inBackground: (work: Promise<unknown>, reason: string) => void
}

const BATCH = 500
const ALL_TYPES = 'registry:'

export class ForeignKeys {
  readonly #options: ForeignKeysOptions
  readonly #tags = new Set<string>()
  #isSweeping = false

  constructor(options: ForeignKeysOptions) {
    this.#options = options
  }

  /** Sweeps what the older system keeps for this tag, if it is that of a type or of all. One sweep runs at a time. */
  sweep(tag: string): void {
    if (!tag.startsWith(ALL_TYPES)) return
    this.#tags.add(tag)
    if (this.#isSweeping) return
    this.#isSweeping = true
    const swept = this.#sweepAll().finally(() => {
      this.#isSweeping = false
    })
    // A Redis that fails meanwhile has been reported; what is left goes by its TTL or at the next invalidation.
    this.#options.inBackground(
      swept.catch(() => {}),
      'sweep',
    )
  }

  async #sweepAll(): Promise<void> {
    for (const tag of this.#tags) {
      this.#tags.delete(tag)
      await this.#sweepOne(this.#options.prefix + tag)
    }
  }

  async #sweepOne(plain: string): Promise<void> {
    const { client, isCluster } = this.#options
    const { keyPrefix = '' } = client.options as { keyPrefix?: string }
    const literal = (keyPrefix + plain).replace(/[\\*?[\]^-]/g, '\\$&')
    const pattern = plain.endsWith(':') ? `${literal}*` : `${literal}:*`
    await this.#run(() => client.unlink(plain))
    for (const node of isCluster ? (client.nodes('master') as Commands[]) : [client]) {
      let cursor = '0'
      do {
        const [next, keys] = await this.#run(() => node.scan(cursor, 'MATCH', pattern, 'COUNT', BATCH))
        const foreign = keys.filter((key) => !key.includes(':@')).map((key) => key.slice(keyPrefix.length))
        if (isCluster) await this.#run(() => Promise.all(foreign.map((key) => client.unlink(key))))
        else if (foreign.length > 0) await this.#run(() => client.unlink(...foreign))
        cursor = next
      } while (cursor !== '0')
    }
  }

  #run<T>(send: () => Promise<T>): Promise<T> {
    return this.#options.link.run('sweep', this.#options.deadline(), send)
  }
}
