/*
 * What this worker knows about epochs: a number per tag that only grows, whose truth is in the shared tier. An entry
 * is valid while its stamps equal these numbers. Without a shared tier the same records are the truth, always known.
 *
 * A number may be believed (is *known*) only while the subscription that was live when it was asked for still is, for
 * at most `maxStaleness` since the *question was sent*, and while no raise of ours is untold. Everything here that looks
 * pedantic closes an interleaving; the essay in cache.ts walks through them.
 */
import { LRUCache } from 'lru-cache'
import { type EpochRecord, FIRST_SHARED, type Moment, type Question, type Verdict } from './epoch-record.ts'
import type { Clock, Deadline, SharedTier } from './tiers.ts'

export interface EpochsOptions {
  readonly clock: Clock
  readonly shared: SharedTier | undefined
  /** Records that are kept; those with a raise pending come on top. */
  readonly maxRecords: number
  /** A tag was raised, here (`own`) or elsewhere. */
  readonly onRaise: (tag: string, cause: string, worker: string, own: boolean) => void
  /** The shared tier has forgotten raises of this tag. */
  readonly onLost: (tag: string) => void
  readonly workerId: string
}

export class Epochs {
  readonly #clock: Clock
  readonly #shared: SharedTier | undefined
  readonly #options: EpochsOptions
  readonly #records: LRUCache<string, EpochRecord>
  /** Records with a raise pending or under way: they do not fall out. */
  readonly #pinned = new Map<string, EpochRecord>()
  #count = 0
  /** Records that fell out, and raises heard of that had none. */
  #fellOut = 0
  #session = 0
  #sessions = 0

  constructor(options: EpochsOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#shared = options.shared
    this.#records = new LRUCache({
      max: options.maxRecords,
      dispose: (_record, _tag, reason) => {
        if (reason === 'evict') this.#fellOut++
      },
    })
  }

  /** The tag's record, made when it is met anew: from a number that this worker never gave before. */
  record(tag: string): EpochRecord {
    const met = this.#existing(tag)
    if (met) return met
    const record: EpochRecord = {
      tag,
      epoch: ++this.#count,
      heard: 0,
      own: 0,
      verifiedAtMs: Number.NEGATIVE_INFINITY,
      session: 0,
      raises: 0,
      settled: 0,
      madeAt: this.#count,
      raisedAt: 0,
      cause: '',
      telling: undefined,
      asking: false,
    }
    this.#records.set(tag, record)
    return record
  }

  #existing(tag: string): EpochRecord | undefined {
    return this.#records.get(tag) ?? (this.#pinned.size > 0 ? this.#pinned.get(tag) : undefined)
  }

  has(tag: string): boolean {
    return this.#existing(tag) !== undefined
  }

  /** The same for those who look on: nothing is made, and nothing counts as used. */
  peek(tag: string): EpochRecord | undefined {
    return this.#records.peek(tag) ?? this.#pinned.get(tag)
  }

  /** Whether the number may be believed without asking. */
  isKnown(record: EpochRecord, nowMs: number, maxStalenessMs: number): boolean {
    if (!this.#shared) return true
    return (
      record.settled === record.raises &&
      this.#session !== 0 &&
      record.session === this.#session &&
      nowMs - record.verifiedAtMs < maxStalenessMs
    )
  }

  isPending(record: EpochRecord): boolean {
    return this.#shared !== undefined && record.settled !== record.raises
  }

  /** The shared tier's number, where it was verified under the subscription that is live and no raise is untold; else 0. */
  heardLately(tag: string): number {
    const record = this.#existing(tag)
    const isLate = record && this.#session !== 0 && record.session === this.#session && !this.isPending(record)
    return isLate ? record.heard : 0
  }

  /** Whether a raise of one of these is untold. */
  anyPending(tags: readonly string[]): boolean {
    return this.#pinned.size > 0 && tags.some((tag) => this.#pinned.has(tag))
  }

  get isSubscribed(): boolean {
    return this.#session !== 0
  }

  /** Figures for stats and metrics. */
  get pendingRaises(): number {
    return this.#pinned.size
  }

  get size(): number {
    return this.#records.size + this.#pinned.size
  }

  records(): IterableIterator<EpochRecord> {
    return this.#records.values()
  }

  /** How many may not be believed without asking; those with a raise pending among them. Walks all of them, if need be. */
  unknown(maxStalenessMs: number): number {
    if (!this.#shared) return this.#pinned.size
    if (this.#session === 0) return this.size
    const nowMs = this.#clock.monotonic()
    let unknown = this.#pinned.size
    for (const record of this.#records.values()) if (!this.isKnown(record, nowMs, maxStalenessMs)) unknown++
    return unknown
  }

  moment(): Moment {
    const link = this.#shared?.link ?? 0
    return { atMs: this.#clock.monotonic(), count: this.#count, fellOut: this.#fellOut, link }
  }

  // --- the subscription -----------------------------------------------------------------------------------------

  /** From now on messages arrive. Makes nothing known by itself: what was raised before it was not heard. */
  subscriptionLive(): void {
    this.#session = ++this.#sessions
  }

  /** Messages may have been missed from now on: nothing is known. */
  subscriptionLost(): void {
    this.#session = 0
  }

  /** Another worker raised the tag to this number. Says nothing about when the number was last verified. */
  heard(tag: string, epoch: number, cause: string, worker: string): void {
    const own = worker === this.#options.workerId
    if (!own) this.#options.onRaise(tag, cause, worker, false)
    const record = this.#existing(tag)
    if (!record) {
      this.#fellOut++
      return
    }
    if (epoch > record.epoch) this.#learn(record, epoch)
    else if (epoch < record.epoch && !own) {
      // Somebody reads a Redis that has forgotten what we know: find out before believing anything.
      record.verifiedAtMs = Number.NEGATIVE_INFINITY
    }
  }

  // --- questions ------------------------------------------------------------------------------------------------

  ask(tags: readonly string[], deadline: Deadline): Question {
    const records = tags.map((tag) => this.record(tag))
    return {
      records,
      epochs: records.map((record) => record.epoch),
      raises: records.map((record) => record.raises),
      session: this.#session,
      link: this.#shared?.link ?? 0,
      sentAtMs: this.#clock.monotonic(),
      deadline,
    }
  }

  /** Takes the replies into the records: a verdict for each, in the order of the question. */
  settle(question: Question, replies: readonly (number | undefined)[]): Verdict[] {
    return question.records.map((record, i) => this.#settleOne(question, i, record, replies[i]))
  }

  #settleOne(question: Question, i: number, record: EpochRecord, reply: number | undefined): Verdict {
    const isSame =
      this.#existing(record.tag) === record &&
      record.raises === question.raises[i] &&
      !this.isPending(record) &&
      this.#session === question.session &&
      (this.#shared?.link ?? 0) === question.link &&
      this.#clock.monotonic() < question.deadline.atMs
    if (!isSame) return 'void'
    if (reply === undefined) return 'unverifiable'
    if (reply < (question.epochs[i] ?? 0)) {
      // Lower than what we knew when we asked: the shared tier lost raises, perhaps more than we know of. Raising, not
      // setting: workers that never heard of the lost ones hold entries stamped with exactly the number it went back to.
      this.#options.onLost(record.tag)
      return 'lost'
    }
    // A message overtook this reply: the reply is merely old.
    if (reply < record.epoch) return 'void'
    this.#learn(record, reply)
    record.verifiedAtMs = Math.max(record.verifiedAtMs, question.sentAtMs)
    record.session = question.session
    return 'verified'
  }

  /**
   * Takes a number of the shared tier. While a raise of ours is untold, ours stays above it: an entry stamped with that
   * number may have been computed before our write.
   */
  #learn(record: EpochRecord, epoch: number): void {
    record.heard = Math.max(record.heard, epoch)
    const current = this.isPending(record) ? this.#ownNumber(record, epoch) : epoch
    if (record.epoch === current) return
    record.epoch = current
    record.raisedAt = ++this.#count
  }

  /** A number above `epoch` that the shared tier never gives, and that this worker never gave for this tag. */
  #ownNumber(record: EpochRecord, epoch: number): number {
    const above = epoch < FIRST_SHARED ? this.#count : Math.floor(epoch) + 1
    record.own = Math.max(above, Math.floor(record.own) + 1) + 0.5
    return record.own
  }

  /**
   * The number to stamp an answer with that began at `began` and revealed this tag only at its end, or undefined when
   * the tag may have been raised meanwhile (then the answer must not be stored).
   */
  async reveal(tag: string, began: Moment, deadline: Deadline): Promise<number | undefined> {
    const shared = this.#shared
    // Another server may have another clock, and what was raised since the beginning can not be told by it.
    if (shared && shared.link !== began.link) return undefined
    if (!shared?.isUp()) {
      const met = this.#existing(tag)
      const couldHaveFallenOut = this.#fellOut !== began.fellOut && (met?.madeAt ?? Infinity) > began.count
      if (couldHaveFallenOut || (met && met.raisedAt > began.count)) return undefined
      return (met ?? this.record(tag)).epoch
    }
    const question = this.ask([tag], deadline)
    const reply = await shared.reveal(tag, began.atMs, deadline)
    const [verdict] = this.settle(question, [reply?.epoch])
    return verdict === 'verified' && reply?.raisedSince === false ? reply.epoch : undefined
  }

  // --- raises ---------------------------------------------------------------------------------------------------

  /** Gives the tag a number that nobody has stamped anything with. Pending until `acknowledge`. */
  raiseHere(tag: string, cause: string): EpochRecord {
    const record = this.record(tag)
    record.raises++
    record.cause = cause
    record.raisedAt = ++this.#count
    record.epoch = this.#ownNumber(record, record.epoch)
    if (this.#shared) {
      this.#pinned.set(tag, record)
      this.#records.delete(tag)
    }
    this.#options.onRaise(tag, cause, this.#options.workerId, true)
    return record
  }

  /** The shared tier's number for the raise that was the record's `count`th, and for those before it. */
  acknowledge(record: EpochRecord, count: number, epoch: number): void {
    record.settled = Math.max(record.settled, count)
    if (record.settled === record.raises) {
      this.#learn(record, Math.max(epoch, record.heard))
      if (this.#pinned.delete(record.tag)) this.#records.set(record.tag, record)
    } else if (epoch > record.epoch) this.#learn(record, epoch)
  }

  /** Records with a raise that the shared tier has not acknowledged. */
  pending(): readonly EpochRecord[] {
    return [...this.#pinned.values()]
  }
}
