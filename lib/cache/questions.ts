/*
 * Asks the shared tier for epochs, many readers at once in one question. A reader that needs an answer of its own time
 * (strong mode, or no live subscription) only joins a question that has not been sent when it comes: one already on the
 * wire may have been answered before the write that this reader must see.
 */
import { type EpochRecord, type Verdict, worst } from './epoch-record.ts'
import type { Epochs } from './epochs.ts'
import type { Clock, Deadline, SharedTier } from './tiers.ts'

/** `down`: no answer by the deadline, or nobody to ask. */
export type Answer = Verdict | 'down'

interface Batch {
  readonly tags: Set<string>
  readonly answer: Promise<ReadonlyMap<string, Verdict> | 'down'>
  /** True once it is on the wire. */
  sent: boolean
}

export class Questions {
  readonly #epochs: Epochs
  readonly #shared: SharedTier
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #defer: (callback: () => void) => void
  readonly #inBackground: (work: Promise<unknown>, reason: string) => void
  #next: Batch | undefined
  readonly #onWire = new Set<Batch>()

  constructor(options: {
    epochs: Epochs
    shared: SharedTier
    clock: Clock
    redisTimeoutMs: number
    /** Runs the callback soon, so that the readers of one turn of the event loop share a question. */
    defer: (callback: () => void) => void
    inBackground: (work: Promise<unknown>, reason: string) => void
  }) {
    this.#epochs = options.epochs
    this.#shared = options.shared
    this.#clock = options.clock
    this.#timeoutMs = options.redisTimeoutMs
    this.#defer = options.defer
    this.#inBackground = options.inBackground
  }

  /**
   * Verifies these tags. `verified` means that the records hold what was true at some time after this call (for
   * `ofItsOwn`), or at some time within the question that it joined.
   */
  async ask(tags: readonly string[], ofItsOwn: boolean, deadline: Deadline): Promise<Answer> {
    if (this.#epochs.anyPending(tags) && !(await this.told(tags, deadline))) return 'unverifiable'
    const batch = this.#joinable(tags, ofItsOwn) ?? this.#prepare()
    if (!batch.sent) for (const tag of tags) batch.tags.add(tag)
    const answer = await before(this.#clock, deadline, batch.answer, 'down' as const)
    return answer === 'down' ? answer : worst(tags.map((tag) => answer.get(tag) ?? 'void'))
  }

  /** Verifies one tag for the hits to come; nobody waits. */
  askInBackground(record: EpochRecord): void {
    if (record.asking || !this.#shared.isUp()) return
    record.asking = true
    const done = this.ask([record.tag], false, this.#newDeadline()).finally(() => {
      record.asking = false
    })
    this.#inBackground(done, 'verify')
  }

  #joinable(tags: readonly string[], ofItsOwn: boolean): Batch | undefined {
    if (!ofItsOwn && this.#epochs.isSubscribed) {
      for (const batch of this.#onWire) if (tags.every((tag) => batch.tags.has(tag))) return batch
    }
    return this.#next
  }

  #prepare(): Batch {
    const tags = new Set<string>()
    const answer = new Promise<ReadonlyMap<string, Verdict> | 'down'>((resolve) => {
      this.#defer(() => resolve(this.#send(batch)))
    })
    const batch: Batch = { tags, answer, sent: false }
    this.#next = batch
    return batch
  }

  async #send(batch: Batch): Promise<ReadonlyMap<string, Verdict> | 'down'> {
    batch.sent = true
    if (this.#next === batch) this.#next = undefined
    if (!this.#shared.isUp()) return 'down'
    this.#onWire.add(batch)
    const tags = [...batch.tags]
    const question = this.#epochs.ask(tags, this.#newDeadline())
    try {
      const verdicts = this.#epochs.settle(question, await this.#shared.readEpochs(tags, question.deadline))
      return new Map(tags.map((tag, i) => [tag, verdicts[i] ?? 'void']))
    } catch {
      return 'down' // The tier has reported why.
    } finally {
      this.#onWire.delete(batch)
    }
  }

  /** Waits for raises of these tags that are on the wire. False: one is still untold, so its number can not be known. */
  async told(tags: readonly string[], deadline: Deadline): Promise<boolean> {
    for (const tag of tags) {
      const { telling } = this.#epochs.record(tag)
      if (telling) await before(this.#clock, deadline, telling, undefined)
    }
    return !this.#epochs.anyPending(tags)
  }

  #newDeadline(): Deadline {
    return { atMs: this.#clock.monotonic() + this.#timeoutMs, recovering: false }
  }
}

/** What the promise gives, or `otherwise` when the deadline passes first. The promise must not reject. */
export function before<T, O>(clock: Clock, deadline: Deadline, promise: Promise<T>, otherwise: O): Promise<T | O> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimeout(() => resolve(otherwise), Math.max(0, deadline.atMs - clock.monotonic()))
    promise
      .then(resolve, reject)
      .finally(() => clock.clearTimeout(timer))
      .catch(() => {})
  })
}
