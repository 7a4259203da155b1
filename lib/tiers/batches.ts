/*
 * What is asked of Redis at almost the same time goes there together. Requests come in bursts, and what a command costs this process is
 * paid once for all of them (bench/questions/miss.js and shared-hit.js). Knows no keys' meaning.
 */
import type { Deadline } from '../cache/tiers.ts'
import { TierError } from '../errors.ts'

/** One round trip: a reply for each item, in their order. */
export type Send<Item, Reply> = (items: readonly Item[], deadline: Deadline) => Promise<readonly Reply[]>

export interface BatchesOptions {
  /** Different keys in one trip. With 1 nothing waits for others. */
  readonly most: number
  /**
   * `setImmediate` waits for all that this turn of the event loop brings, so for the requests of many connections; `process.nextTick` for
   * what goes on at once, so for those whose replies came together.
   */
  readonly defer: (leave: () => void) => unknown
  /** Those whose deadlines differ by more do not share a trip. */
  readonly slackMs: number
}

interface Batch<Item, Reply> {
  readonly items: Item[]
  readonly keys: Set<string>
  /** The earliest of all its items' deadlines. */
  deadline: Deadline
  latestMs: number
  readonly replies: Promise<readonly Reply[]>
}

export class Batches<Item extends { readonly key: string }, Reply> {
  readonly #send: Send<Item, Reply>
  readonly #options: BatchesOptions
  #next: Batch<Item, Reply> | undefined

  constructor(send: Send<Item, Reply>, options: BatchesOptions) {
    this.#send = send
    this.#options = options
  }

  async ask(item: Item, deadline: Deadline): Promise<Reply> {
    if (this.#options.most > 1) {
      const batch = this.#joinable(item.key, deadline) ?? this.#prepare(deadline)
      batch.keys.add(item.key)
      const at = batch.items.push(item) - 1
      try {
        return (await batch.replies)[at] as Reply
      } catch (error) {
        const isRefused = error instanceof TierError && error.code === 'ERR_REDIS_REPLY'
        if (!isRefused || batch.items.length === 1) throw error
      }
      // A key that is refused to us refuses the whole batch: it is to harm no other.
    }
    const [reply] = await this.#send([item], deadline)
    return reply as Reply
  }

  #joinable(key: string, deadline: Deadline): Batch<Item, Reply> | undefined {
    const batch = this.#next
    if (batch === undefined || batch.deadline.recovering !== deadline.recovering) return undefined
    if (batch.keys.size >= this.#options.most && !batch.keys.has(key)) return undefined
    const earliest = deadline.atMs < batch.deadline.atMs ? deadline : batch.deadline
    const latestMs = Math.max(deadline.atMs, batch.latestMs)
    if (latestMs - earliest.atMs > this.#options.slackMs) return undefined
    batch.deadline = earliest
    batch.latestMs = latestMs
    return batch
  }

  #prepare(deadline: Deadline): Batch<Item, Reply> {
    const replies = new Promise<void>((resolve) => this.#options.defer(resolve)).then(() => {
      if (this.#next === batch) this.#next = undefined
      return this.#send(batch.items, batch.deadline)
    })
    const batch: Batch<Item, Reply> = { items: [], keys: new Set(), deadline, latestMs: deadline.atMs, replies }
    this.#next = batch
    return batch
  }
}
