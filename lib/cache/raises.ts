/*
 * Raises on their way: this worker is right at once, everybody else when the shared tier was told. What could not be told
 * is kept, as a set: raising twice is raising once. Also the two other reasons to raise: a foreign publisher's message,
 * and numbers that the shared tier has forgotten.
 */
import type { EpochRecord } from './epoch-record.ts'
import type { Epochs } from './epochs.ts'
import type { Clock, Deadline, SharedTier } from './tiers.ts'

export interface RaisesOptions {
  readonly epochs: Epochs
  readonly shared: SharedTier | undefined
  readonly clock: Clock
  readonly redisTimeoutMs: number
  /** After how long the shared tier is told again what it did not take. */
  readonly retryMs: number
  /** How long a raise is remembered, to be asked about after an outage: the longest life of an entry. */
  readonly longestTtlMs: () => number
  /** Work that nobody waits for. */
  readonly inBackground: (work: Promise<unknown>, reason: string) => void
}

/** How many tags go in one step of a recovery, so that none of them takes longer than one deadline. */
const BATCH = 500
const MAX_REMEMBERED = 10_000

export class Raises {
  readonly #options: RaisesOptions
  /** Tags that this worker raised lately, with the number that the shared tier gave. */
  readonly #recent = new Map<string, { epoch: number; atMs: number }>()
  #retry: unknown

  constructor(options: RaisesOptions) {
    this.#options = options
  }

  /**
   * Makes everything computed under these tags worthless: at once here, and for all workers when the shared tier is
   * told. Returns false when it could not be told yet: the raises stay pending and are told later. Never throws.
   */
  async raise(tags: readonly string[], cause: string, deadline: Deadline): Promise<boolean> {
    const records = tags.map((tag) => this.#options.epochs.raiseHere(tag, cause))
    if (!this.#options.shared) return true
    return await this.#tell(records, cause, deadline)
  }

  /** Somebody who raises nothing says that the tag's data changed: raise it, unless another worker already did. */
  heardForeign(tag: string): void {
    const { epochs, inBackground } = this.#options
    // Only a number of this subscription tells whether somebody has raised it since: an older one may have been raised
    // before this message, and its data computed anew before what the message speaks of.
    const known = epochs.heardLately(tag)
    const record = epochs.raiseHere(tag, 'foreign')
    inBackground(this.#tellForeign(record, known), 'foreign-raise')
  }

  /** The shared tier has forgotten raises of this tag, perhaps more than we know of: raise it above all of them. */
  repair(tag: string): void {
    this.#options.inBackground(this.raise([tag], 'repair', this.#ownDeadline()), 'repair')
  }

  async #tell(records: readonly EpochRecord[], cause: string, deadline: Deadline): Promise<boolean> {
    const { shared } = this.#options
    if (!shared || !(shared.isUp() || deadline.recovering)) {
      this.#tellLater()
      return false
    }
    const counts = records.map((record) => record.raises)
    const raises = records.map((record) => ({ tag: record.tag, floor: Math.ceil(record.epoch) }))
    const told = shared.raise(raises, cause, deadline).then(
      (replies) => {
        for (const [i, record] of records.entries()) this.#acknowledge(record, counts[i] ?? 0, replies[i])
      },
      () => {}, // Not told: pending, and the tier has reported why.
    )
    for (const record of records) record.telling = told
    await told
    for (const record of records) if (record.telling === told) record.telling = undefined
    this.#tellLater()
    return records.every((record, i) => record.settled >= (counts[i] ?? 0))
  }

  async #tellForeign(record: EpochRecord, known: number): Promise<void> {
    const { shared } = this.#options
    if (!shared?.isUp()) return this.#tellLater()
    const count = record.raises
    const told = shared
      .raiseUnlessChanged({ tag: record.tag, floor: Math.ceil(record.epoch) }, known, this.#ownDeadline())
      .then(
        (reply) => this.#acknowledge(record, count, reply),
        () => {},
      )
    record.telling = told
    await told
    if (record.telling === told) record.telling = undefined
    this.#tellLater()
  }

  /**
   * Whatever is pending is told again, whoever raised it: a repair, a foreign message and a refusal by a tier that answers
   * otherwise have nobody else to do it, and a raise made while a recovery is at its end was not in what that told.
   */
  #tellLater(): void {
    const { epochs, shared, clock, retryMs, inBackground } = this.#options
    if (!shared || this.#retry !== undefined || epochs.pendingRaises === 0) return
    this.#retry = clock.setTimeout(() => {
      this.#retry = undefined
      const told = shared.isUp() ? this.tellPending(false) : Promise.resolve(false)
      inBackground(
        told.then(() => this.#tellLater()),
        'pending',
      )
    }, retryMs)
  }

  /** Leaves no timer; what is pending stays so until the next raise. */
  stop(): void {
    this.#options.clock.clearTimeout(this.#retry)
    this.#retry = undefined
  }

  #acknowledge(record: EpochRecord, count: number, reply: number | undefined): void {
    if (reply === undefined) return
    this.#options.epochs.acknowledge(record, count, reply)
    this.#remember(record.tag, reply)
  }

  #remember(tag: string, epoch: number): void {
    const nowMs = this.#options.clock.monotonic()
    this.#recent.delete(tag)
    this.#recent.set(tag, { epoch, atMs: nowMs })
    const oldestMs = nowMs - this.#options.longestTtlMs()
    for (const [oldTag, { atMs }] of this.#recent) {
      if (atMs >= oldestMs && this.#recent.size <= MAX_REMEMBERED) break
      this.#recent.delete(oldTag)
    }
  }

  #ownDeadline(recovering = false): Deadline {
    return { atMs: this.#options.clock.monotonic() + this.#options.redisTimeoutMs, recovering }
  }

  /** Tells the shared tier every raise that it has not heard of. True when none is left. */
  async tellPending(recovering: boolean): Promise<boolean> {
    await Promise.all(this.#options.epochs.pending().map(({ telling }) => telling))
    const pending = this.#options.epochs.pending().filter((record) => record.telling === undefined)
    for (const cause of new Set(pending.map((record) => record.cause))) {
      const alike = pending.filter((record) => record.cause === cause)
      for (let i = 0; i < alike.length; i += BATCH) {
        if (!(await this.#tell(alike.slice(i, i + BATCH), cause, this.#ownDeadline(recovering)))) return false
      }
    }
    return this.#options.epochs.pendingRaises === 0
  }

  /** After an outage: asks about each tag that this worker raised lately. What was lost is repaired. False: no answer. */
  async verifyRecent(): Promise<boolean> {
    const { shared, epochs } = this.#options
    if (!shared) return true
    const recent = [...this.#recent]
    for (let i = 0; i < recent.length; i += BATCH) {
      const batch = recent.slice(i, i + BATCH)
      const tags = batch.map(([tag]) => tag)
      for (const [tag, { epoch }] of batch) {
        const record = epochs.record(tag)
        if (record.epoch < epoch) record.epoch = epoch
      }
      const question = epochs.ask(tags, this.#ownDeadline(true))
      const replies = await shared.readEpochs(tags, question.deadline).catch(() => undefined)
      if (!replies) return false
      const behind = question.records.filter((_record, j) => (replies[j] ?? 0) < (question.epochs[j] ?? 0))
      const told = behind.map((record) => record.tag)
      if (told.length > 0 && !(await this.raise(told, 'repair', this.#ownDeadline(true)))) return false
    }
    return true
  }
}
