/*
 * Two-tier lookup, store and invalidate. Knows neither HTTP nor Redis.
 *
 * Nothing is deleted to invalidate: every entry carries *stamps*, pairs of a tag and the epoch that the tag had when the
 * miss BEGAN, and counts only while each equals the tag's epoch now. The interleavings that this answers:
 *
 * - Late fill. A misses and reads the database (old). B writes, raises the tag, is acknowledged. A's handler ends and
 *   stores: its stamp is the epoch from before B, so the entry is dead on arrival, in both tiers. A stamp taken when the
 *   fill ends would make it live until its TTL.
 * - Joining. C reads after B was acknowledged and finds A's flight: its stamps are not C's, so C does not join. Where B
 *   raised a tag that only A's answer reveals, the stamps are still equal: C joins, and compares again when A lands.
 * - A question that crosses a write. A asks Redis for an epoch; this worker raises the tag; the reply (old) arrives. The
 *   record's `raises` differ from when the question was sent: the reply does not count.
 * - A message that overtakes a reply. Reply 1 is on its way, message "2" arrives first: the record is 2, the reply lower
 *   than the record but not than what was known at sending: merely old. Lower than that too: Redis lost raises.
 * - A lost message. Known means verified within `maxStaleness`, under the subscription that is live now. A dropped
 *   subscription makes everything unknown, and a new one makes nothing known by itself.
 * - A copy to L1. It gets what is *left* of the entry's life in L2, and the stamps it has there are compared with the
 *   records as merged with the replies, not with the replies: a raise may have happened here meanwhile.
 * - Redis away. Our raise gives the record a number that Redis never gives (x.5), so what was filled before it is dead
 *   here, and what is filled after it stays here; until the raise is told, nothing Redis says about the tag is believed.
 *   Nor does a number of Redis' that is heard meanwhile take its place: A raises to 2 and fills, B writes and can not tell,
 *   "2" arrives. A's entry was computed before B's write.
 * - A tag that the answer reveals. It counts as raised since the miss began if a message said so, though its record was
 *   made later or never, and if the link has changed: another Redis may have another clock.
 *
 * The order of a read: 1. L1, nothing to ask. 2. L1, asking for epochs alone. 3. L2 with the epochs in one trip. 4. Miss.
 */
import type { Counters } from './counters.ts'
import { type Content, decodeEntry, type Entry, encodeEntry, lifetimeMs, makeEntry, type Stamps } from './entry.ts'
import { isSharedNumber, worst } from './epoch-record.ts'
import type { Flights } from './flights.ts'
import { Local, type LocalOptions } from './local.ts'
import { before, type Questions } from './questions.ts'
import type { Raises } from './raises.ts'
import type { Missed, Reading, Stored, Wanted } from './reading.ts'
import { ALL, typeTag } from './reading.ts'
import type { Deadline, SharedTier } from './tiers.ts'

export interface CacheOptions extends LocalOptions {
  readonly raises: Raises
  readonly flights: Flights
  readonly counters: Counters
  readonly redisTimeoutMs: number
  /** The types that depend on a type, itself not included, transitively. */
  readonly dependentsOf: (type: string) => readonly string[]
  readonly inBackground: (work: Promise<unknown>, reason: string) => void
  readonly onError: (code: 'ERR_ENTRY_CORRUPT', operation: string, message: string) => void
}

const MAX_ATTEMPTS = 4

export class Cache {
  readonly options: CacheOptions
  /** Lookups on the wire, by key. */
  readonly #lookups = new Map<string, Promise<Reading | undefined>>()
  readonly #local: Local

  constructor(options: CacheOptions) {
    this.options = options
    this.#local = new Local(options)
  }

  /** Step 1: the entry that may be served without asking anybody, fresh or not. No I/O. */
  find(wanted: Wanted, nowMs?: number): Entry | undefined {
    return this.#local.find(wanted, nowMs)
  }

  /** Step 4 at once where there is no shared tier, so nothing to wait for. */
  readAlone(wanted: Wanted): Reading | undefined {
    return this.options.shared === undefined ? this.#local.readAlone(wanted) : undefined
  }

  /** Steps 2 to 4. Never rejects, and never takes longer than the deadline. */
  async read(wanted: Wanted, deadline: Deadline): Promise<Reading> {
    const { shared, clock } = this.options
    for (let attempt = 0; attempt < MAX_ATTEMPTS && clock.monotonic() < deadline.atMs; attempt++) {
      if (!shared?.isUp()) return this.#local.readAlone(wanted)
      const reading = await this.#readShared(shared, wanted, deadline)
      if (reading) return reading
    }
    // Raises that come faster than answers are no outage.
    const isLate = clock.monotonic() >= deadline.atMs
    return shared?.isUp() && !isLate ? this.#local.missed(wanted, 'none') : this.#local.readAlone(wanted)
  }

  /** Stamps for something that is stored as it is now; `reach` is `none` when it can not be found out what is current. */
  async stampsNow(wanted: Wanted, deadline: Deadline): Promise<Missed> {
    const { epochs, questions, shared } = this.options
    if (!shared?.isUp() || !questions) {
      return this.#local.missed(wanted, this.#local.mayNotUseMemory(wanted) ? 'none' : 'memory', shared !== undefined)
    }
    const unknown = this.#local.unknown(wanted.tags, wanted.maxStalenessMs)
    const asked = epochs.ask(wanted.tags, deadline)
    const answer = unknown.length > 0 ? await questions.ask(unknown, true, deadline) : 'verified'
    const isUntouched = asked.records.every((record, i) => record.raises === asked.raises[i])
    return this.#local.missed(wanted, answer === 'verified' && isUntouched ? 'both' : 'none', answer === 'down')
  }

  /**
   * Whether an answer holds for a reader who waited for it. Its stamps were compared when the reader joined, but for the
   * tags that only the answer revealed: of those one may have been raised before the reader came. Asks where it must.
   */
  async confirm(wanted: Wanted, entry: Entry, deadline: Deadline): Promise<boolean> {
    const { questions, whenRedisIsDown } = this.options
    const { tags, epochs } = entry
    const isStrong = wanted.maxStalenessMs === 0
    const revealed = tags.filter((tag) => !wanted.tags.includes(tag))
    const unknown = this.#local.unknown(revealed, wanted.maxStalenessMs)
    if (unknown.length > 0 && questions) {
      const answer = await questions.ask(unknown, this.#asksItself(wanted), deadline)
      const isDown = answer === 'down' && !isStrong && whenRedisIsDown === 'serve-memory'
      if (answer !== 'verified' && !isDown) return false
    }
    return this.#local.isCurrent({ tags: revealed, epochs: revealed.map((tag) => epochs[tags.indexOf(tag)] ?? 0) })
  }

  /** Whether a request for this is being computed, under the stamps that are known now. No I/O. */
  isFlying(wanted: Wanted): boolean {
    const missed = this.#local.missed(wanted, 'both')
    return this.options.flights.find(`${wanted.type}:${missed.hash}`, missed.stamps) !== undefined
  }

  /** Whether L1 has an entry that would be fresh if its epochs were verified. No I/O. */
  isInMemory(wanted: Wanted): boolean {
    const entry = this.#local.inMemory(wanted)
    return entry !== undefined && this.options.clock.monotonic() < entry.staleAtMs
  }

  /** The miss that this would be, by what is known now. No I/O. */
  missedAsKnown(wanted: Wanted): Missed {
    return this.#local.missed(wanted, 'both')
  }

  // --- reading --------------------------------------------------------------------------------------------------

  /** Strong readers, and those to whom a question may be too old that has been on the wire for a while. */
  #asksItself(wanted: Wanted): boolean {
    return wanted.maxStalenessMs < this.options.redisTimeoutMs
  }

  /** One attempt at steps 2 and 3. Undefined: something changed meanwhile, try again. */
  async #readShared(shared: SharedTier, wanted: Wanted, deadline: Deadline): Promise<Reading | undefined> {
    const { clock, flights, epochs } = this.options
    const questions = this.options.questions as Questions // There is one wherever there is a shared tier.
    if (epochs.anyPending(wanted.tags) && !(await questions.told(wanted.tags, deadline))) {
      return shared.isUp() ? this.#local.missed(wanted, 'none') : undefined
    }
    const isStrong = wanted.maxStalenessMs === 0
    const candidate = this.#local.inMemory(wanted)
    const isCandidate = candidate !== undefined && clock.monotonic() < candidate.staleAtMs
    if (isCandidate || flights.has(`${wanted.type}:${this.#local.resolve(wanted)}`)) {
      // Step 2: only epochs. The answer is in memory already, or somebody is computing it.
      const tags = isCandidate ? [...new Set([...candidate.tags, ...wanted.tags])] : wanted.tags
      const unknown = this.#local.unknown(tags, wanted.maxStalenessMs)
      const answer = unknown.length > 0 ? await questions.ask(unknown, this.#asksItself(wanted), deadline) : 'verified'
      if (answer === 'down') return this.#local.readAlone(wanted)
      if (answer === 'void') return undefined
      if (answer !== 'verified') return this.#local.missed(wanted, 'none')
      const entry = this.#local.current(wanted)
      if (entry && clock.monotonic() < entry.staleAtMs && isSubset(entry.tags, tags)) return { entry, tier: 'memory' }
      const missed = this.#local.missed(wanted, 'both')
      if (flights.find(`${wanted.type}:${missed.hash}`, missed.stamps)) return missed
    }
    if (isStrong || wanted.accepts || !epochs.isSubscribed) return await this.#lookUp(shared, wanted, deadline)
    return await this.#lookUpTogether(shared, wanted, deadline)
  }

  /** Readers of one key wait for the first one's lookup, then find what it found. */
  async #lookUpTogether(shared: SharedTier, wanted: Wanted, deadline: Deadline): Promise<Reading | undefined> {
    const key = `${wanted.type}:${wanted.hash}`
    const first = this.#lookups.get(key)
    if (first) {
      const reading = await before(this.options.clock, deadline, first, undefined)
      const entry = this.find(wanted)
      const nowMs = this.options.clock.monotonic()
      if (entry && nowMs < entry.staleAtMs) return { entry, tier: 'memory' }
      // A question that nobody waits for would count as one that Redis left without an answer.
      if (nowMs >= deadline.atMs) return undefined
      const lookedUp = reading && 'hash' in reading ? reading.hash : undefined
      const isSame =
        lookedUp === this.#local.resolve(wanted) && this.#local.unknown(wanted.tags, wanted.maxStalenessMs).length === 0
      if (isSame) return this.#local.missed(wanted, 'both', false, entry)
    }
    const lookup = this.#lookUp(shared, wanted, deadline)
    if (first) return await lookup
    this.#lookups.set(key, lookup)
    try {
      return await lookup
    } finally {
      this.#lookups.delete(key)
    }
  }

  /** Step 3: epochs and entry in one trip; a second one where the answer varies by headers that were not known here. */
  async #lookUp(shared: SharedTier, wanted: Wanted, deadline: Deadline): Promise<Reading | undefined> {
    const { epochs, counters } = this.options
    let hash = this.#local.resolve(wanted)
    for (let trip = 0; trip < 3; trip++) {
      const question = epochs.ask(wanted.tags, deadline)
      const reply = await shared.lookup(wanted.type, hash, wanted.tags, deadline).catch(() => undefined)
      if (!reply) return this.#local.readAlone(wanted)
      const verdict = worst(epochs.settle(question, reply.epochs))
      if (verdict === 'void') return undefined
      if (verdict !== 'verified') return this.#local.missed(wanted, 'none')
      const entry = await this.#take(wanted, hash, reply, question.sentAtMs, deadline)
      if (entry === 'again') return undefined
      if (entry?.kind === 'vary' && wanted.variant && hash === wanted.hash) {
        hash = wanted.variant(entry.vary)
        continue
      }
      if (entry && entry.kind !== 'vary' && this.options.clock.monotonic() < entry.staleAtMs) {
        counters.redisHits++
        return { entry, tier: 'redis' }
      }
      counters.redisMisses++
      return this.#local.missed(wanted, 'both', false, entry?.kind === 'vary' ? undefined : entry)
    }
    return this.#local.missed(wanted, 'none')
  }

  /** Decodes, checks the stamps against the records, copies to L1 with what is left of its life. */
  async #take(
    wanted: Wanted,
    hash: string,
    reply: { readonly envelope: Buffer | undefined; readonly ttlMs: number },
    sentAtMs: number,
    deadline: Deadline,
  ): Promise<Entry | undefined | 'again'> {
    const { clock, memory, questions, onError } = this.options
    if (!reply.envelope) return this.#local.current(wanted)
    const decoded = decodeEntry(reply.envelope)
    if (!decoded)
      onError('ERR_ENTRY_CORRUPT', 'lookup', `the value of ${wanted.type}:${hash} is no entry of this version`)
    if (!decoded || reply.ttlMs <= 0) return undefined
    // Tags that only the answer revealed were not asked for yet.
    const revealed = decoded.stamps.tags.filter((tag) => !wanted.tags.includes(tag))
    const unknown = this.#local.unknown(revealed, wanted.maxStalenessMs)
    if (unknown.length > 0 && questions) {
      const answer = await questions.ask(unknown, this.#asksItself(wanted), deadline)
      if (answer !== 'verified') return answer === 'void' ? 'again' : undefined
    }
    if (!this.#local.isCurrent(decoded.stamps, wanted.tags)) return undefined
    const nowMs = clock.monotonic()
    // Counted from when it was asked for: its way here is part of its life.
    const leftMs = Math.min(reply.ttlMs, lifetimeMs(decoded.content)) - (nowMs - sentAtMs)
    if (leftMs <= 0) return undefined
    const entry = makeEntry(decoded.content, decoded.stamps, nowMs, leftMs, wanted.origin)
    if (entry.kind !== 'vary' && !this.#local.accepted(wanted, entry)) return undefined
    memory.set(wanted.type, hash, entry)
    return entry
  }

  // --- writing --------------------------------------------------------------------------------------------------

  /** The stamps that are still current: of a flight that began before an invalidation they are not. */
  isCurrent(stamps: Stamps): boolean {
    return this.#local.isCurrent(stamps)
  }

  /**
   * Stores an answer under the stamps of its miss, in L1 at once and in L2 in the background. Nothing is stored that an
   * invalidation has overtaken: an old flight's late end does not replace a newer entry.
   */
  store(wanted: Wanted, missed: Missed, content: Content, stamps: Stamps = missed.stamps): Stored {
    const { clock, memory, shared, inBackground } = this.options
    const entry = makeEntry(content, stamps, clock.monotonic(), undefined, wanted.origin)
    const refuse = (reason: string): Stored => ({ tiers: 'none', reason, entry })
    const reason = this.refusal(missed, content.body.byteLength, stamps)
    if (reason !== undefined && reason !== 'too-large') return refuse(reason)
    const base = memory.peek(wanted.type, wanted.hash)
    const known = base?.kind === 'vary' && this.isCurrent(base) ? base.vary : []
    const names = [...new Set([...known, ...content.vary])].sort()
    const hash = names.length > 0 && wanted.variant ? wanted.variant(names) : wanted.hash
    if (!memory.set(wanted.type, hash, entry)) return refuse('too-large')
    const writes: [string, Content][] = [[hash, content]]
    const isRecorded = known.length === names.length && base !== undefined && base.deleteAtMs >= entry.deleteAtMs
    if (hash !== wanted.hash && !isRecorded) {
      const record: Content = { ...content, kind: 'vary', body: NO_BODY, headers: [], removed: [], vary: names }
      memory.set(wanted.type, wanted.hash, makeEntry(record, stamps, clock.monotonic()))
      writes.push([wanted.hash, record])
    }
    // A tag may have been raised here, or its record have fallen out, after it was verified: a number of this worker's own.
    const isForAll = missed.reach === 'both' && stamps.epochs.every(isSharedNumber)
    if (!isForAll || !shared?.isUp()) return { tiers: 'memory', entry }
    const written = this.#storeShared(shared, wanted.type, writes, stamps)
    inBackground(written, 'store')
    return { tiers: 'both', entry, written }
  }

  /** Why an answer to this miss is not stored, as far as can be told now. */
  refusal(missed: Missed, bodyBytes: number, stamps: Stamps = missed.stamps): string | undefined {
    if (missed.reach === 'none') return missed.isDown ? 'redis-down' : 'unverified'
    if (!this.isCurrent(stamps)) return 'invalidated'
    return this.options.memory.isTooLarge(bodyBytes) ? 'too-large' : undefined
  }

  async #storeShared(shared: SharedTier, type: string, writes: [string, Content][], stamps: Stamps): Promise<void> {
    const deadline = this.deadline()
    await Promise.all(
      writes.map(([hash, content]) =>
        shared.set(type, hash, encodeEntry(content, stamps), lifetimeMs(content), deadline).catch(() => {}),
      ),
    )
  }

  /** The tag and everything that depends on it: at once here, then everywhere. False: kept, told to the others later. */
  async invalidate(tags: readonly string[], cause: string): Promise<boolean> {
    const all = new Set(tags)
    for (const tag of tags) {
      if (!tag.startsWith(ALL)) continue
      for (const dependent of this.options.dependentsOf(tag.slice(ALL.length))) all.add(typeTag(dependent))
    }
    return await this.options.raises.raise([...all], cause, this.deadline())
  }

  deadline(recovering = false): Deadline {
    return { atMs: this.options.clock.monotonic() + this.options.redisTimeoutMs, recovering }
  }
}

function isSubset(tags: readonly string[], of: readonly string[]): boolean {
  return tags.every((tag) => of.includes(tag))
}

const NO_BODY = Buffer.alloc(0)
