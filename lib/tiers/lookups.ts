/*
 * Lookups of one turn of the event loop go to Redis together: one MGET for all their entries and epochs, behind a PTTL for
 * each entry. Readers come in bursts, and what a command costs this process is paid once for all of them
 * (bench/questions/shared-hit.js). Knows no keys' meaning; not for Cluster, where they live in different slots.
 */
import type { Deadline } from '../cache/tiers.ts'
import { TierError } from '../errors.ts'

/** One round trip: what is there in the order of `keys`, and of `tags`. */
export type Send = (
  keys: readonly string[],
  tags: readonly string[],
  deadline: Deadline,
) => Promise<{
  readonly ttlsMs: readonly number[]
  readonly envelopes: readonly (Buffer | null | undefined)[]
  readonly epochs: readonly (number | undefined)[]
}>

export interface Found {
  readonly envelope: Buffer | undefined
  readonly ttlMs: number
  readonly epochs: readonly (number | undefined)[]
}

interface Batch {
  readonly keys: Map<string, number>
  readonly tags: Map<string, number>
  /** The earliest of its readers' deadlines. */
  deadline: Deadline
  latestMs: number
  readonly reply: ReturnType<Send>
}

/**
 * The first entry of a reply waits for its last: 32 of 1 MB take 220 ms on loopback, nearly all of a deadline for each of
 * them. Most of what sharing a command saves is saved by a few.
 */
const MOST_KEYS = 8

export class Lookups {
  readonly #send: Send
  readonly #slackMs: number
  #next: Batch | undefined

  /** `slackMs`: readers whose deadlines differ by more do not share a trip. */
  constructor(send: Send, slackMs: number) {
    this.#send = send
    this.#slackMs = slackMs
  }

  async look(key: string, tags: readonly string[], deadline: Deadline): Promise<Found> {
    const batch = this.#joinable(deadline) ?? this.#prepare(deadline)
    const at = place(batch.keys, key)
    const places = tags.map((tag) => place(batch.tags, tag))
    try {
      const { envelopes, ttlsMs, epochs } = await batch.reply
      return {
        envelope: envelopes[at] ?? undefined,
        ttlMs: ttlsMs[at] ?? 0,
        epochs: places.map((i) => epochs[i]),
      }
    } catch (error) {
      const isRefused = error instanceof TierError && error.code === 'ERR_REDIS_REPLY'
      if (!isRefused || batch.keys.size === 1) throw error
    }
    // One key that may not be read is a refusal of them all: it is to harm no other reader.
    const { envelopes, ttlsMs, epochs } = await this.#send([key], tags, deadline)
    return { envelope: envelopes[0] ?? undefined, ttlMs: ttlsMs[0] ?? 0, epochs }
  }

  #joinable(deadline: Deadline): Batch | undefined {
    const batch = this.#next
    if (batch === undefined || batch.keys.size >= MOST_KEYS || batch.deadline.recovering !== deadline.recovering) return
    const earliest = deadline.atMs < batch.deadline.atMs ? deadline : batch.deadline
    const latestMs = Math.max(deadline.atMs, batch.latestMs)
    if (latestMs - earliest.atMs > this.#slackMs) return
    batch.deadline = earliest
    batch.latestMs = latestMs
    return batch
  }

  #prepare(deadline: Deadline): Batch {
    const reply = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      if (this.#next === batch) this.#next = undefined
      return this.#send([...batch.keys.keys()], [...batch.tags.keys()], batch.deadline)
    })
    const batch: Batch = { keys: new Map(), tags: new Map(), deadline, latestMs: deadline.atMs, reply }
    this.#next = batch
    return batch
  }
}

function place(places: Map<string, number>, name: string): number {
  const known = places.get(name)
  if (known !== undefined) return known
  places.set(name, places.size)
  return places.size - 1
}
