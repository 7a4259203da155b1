/*
 * The real code with one mistake in it each: what a mechanism is for shows when it is taken out. Where a second mechanism
 * would catch the same interleaving, both are out, and the comment says so.
 */
import type { Patch } from './modules.ts'
import type { ScenarioName } from './scenarios.ts'

export interface Mutant {
  readonly name: string
  readonly patches: readonly Patch[]
  /** Written-out interleavings that break with it; random schedules break with all the others. */
  readonly scenarios: readonly ScenarioName[]
}

const cache = 'cache/cache.ts'
const epochs = 'cache/epochs.ts'
const raises = 'cache/raises.ts'
const questions = 'cache/questions.ts'
const values = 'cache/values.ts'

export const mutants: readonly Mutant[] = [
  {
    name: 'the stamp is taken when the fill ends',
    patches: [
      {
        file: values,
        replace: "typeof tags === 'function' ? await this.#reveal(missed, value, tags) : missed.stamps",
        by: "typeof tags === 'function' ? await this.#reveal({ ...missed, stamps: this.#cache.missedAsKnown(wanted).stamps }, value, tags) : this.#cache.missedAsKnown(wanted).stamps",
      },
    ],
    scenarios: [],
  },
  {
    name: 'a hit in memory does not compare its stamps',
    patches: [
      {
        file: 'cache/local.ts',
        replace: 'record.epoch !== entry.epochs[i] || !epochs.isKnown',
        by: '!epochs.isKnown',
      },
    ],
    scenarios: [],
  },
  {
    name: 'any flight of the key is joined',
    patches: [
      {
        file: 'cache/flights.ts',
        replace: 'flight === undefined || !areSame(flight.stamps, stamps)',
        by: 'flight === undefined',
      },
    ],
    scenarios: [],
  },
  {
    name: 'what only the answer revealed is not compared when a flight lands',
    patches: [
      {
        file: values,
        replace: "landing.kind === 'answered' && (await this.#cache.confirm(wanted, landing.entry, deadline))",
        by: "landing.kind === 'answered'",
      },
      { file: values, replace: 'if (stamps) landing = {', by: 'landing = {' },
    ],
    scenarios: ['revealedJoin', 'revealedJoinStrong'],
  },
  {
    name: 'the life of an entry begins anew with its copy to L1',
    patches: [
      {
        file: cache,
        replace: 'Math.min(reply.ttlMs, lifetimeMs(decoded.content)) - (nowMs - sentAtMs)',
        by: 'lifetimeMs(decoded.content)',
      },
    ],
    scenarios: [],
  },
  {
    name: "the life of another worker's entry is counted from its arrival",
    patches: [{ file: 'cache/fleet.ts', replace: 'look.ttlMs - (clock.monotonic() - sentAtMs)', by: 'look.ttlMs' }],
    scenarios: ['copyOnItsWay'],
  },
  {
    name: 'what was known before a reconnect is believed after it',
    patches: [{ file: epochs, replace: '      record.session === this.#session &&\n      nowMs', by: '      nowMs' }],
    scenarios: ['reconnected'],
  },
  {
    name: 'what is not subscribed is believed',
    patches: [
      {
        file: epochs,
        replace: '      this.#session !== 0 &&\n      record.session === this.#session &&\n      nowMs',
        by: '      nowMs',
      },
    ],
    scenarios: [],
  },
  {
    name: 'the reply to a question of another session counts',
    patches: [
      { file: epochs, replace: '      this.#session === question.session &&\n', by: '' },
      { file: epochs, replace: 'record.session = question.session', by: 'record.session = this.#session' },
    ],
    scenarios: ['oldSession'],
  },
  {
    name: 'raises that could not be told are dropped',
    patches: [
      {
        file: raises,
        replace: '() => {}, // Not told',
        by: '() => { for (const [i, record] of records.entries()) this.#options.epochs.acknowledge(record, counts[i] ?? 0, record.heard) }, // Not told',
      },
    ],
    scenarios: ['untoldBelieved'],
  },
  {
    name: 'raises that could not be told are kept and never told',
    patches: [
      { file: raises, replace: '.filter((record) => record.telling === undefined)', by: '.filter(() => false)' },
      { file: raises, replace: 'return this.#options.epochs.pendingRaises === 0', by: 'return true' },
    ],
    scenarios: [],
  },
  {
    name: 'nobody tells a repair again that was not taken',
    patches: [
      {
        file: raises,
        replace: 'if (!shared || this.#retry !== undefined ||',
        by: 'if (shared || this.#retry !== undefined ||',
      },
    ],
    scenarios: ['untoldRepair'],
  },
  {
    name: 'a strong reader shares a question that is on the wire',
    patches: [{ file: questions, replace: 'if (!ofItsOwn && this', by: 'if (this' }],
    scenarios: ['strongShares'],
  },
  {
    name: 'a question on the wire is shared by those to whom it may be too old',
    patches: [
      {
        file: cache,
        replace: 'wanted.maxStalenessMs < this.options.redisTimeoutMs',
        by: 'wanted.maxStalenessMs === 0',
      },
    ],
    scenarios: ['shortStaleness'],
  },
  {
    name: 'a question on the wire is shared without a subscription',
    patches: [{ file: questions, replace: 'if (!ofItsOwn && this.#epochs.isSubscribed)', by: 'if (!ofItsOwn)' }],
    scenarios: ['unsubscribedShares'],
  },
  {
    name: 'a reply after the deadline is learned',
    patches: [{ file: epochs, replace: ' &&\n      this.#clock.monotonic() < question.deadline.atMs', by: '' }],
    scenarios: [],
  },
  {
    name: 'the record of a tag that fell out begins at 1 again',
    patches: [{ file: epochs, replace: 'epoch: ++this.#count,', by: 'epoch: ++this.#count * 0 + 1,' }],
    scenarios: ['fallenOutWhileAway'],
  },
  {
    // The repairs of a question and of a recovery: both set what was known.
    name: 'a repair sets the epoch to the known one instead of raising it',
    patches: [
      {
        file: raises,
        replace: "this.#options.inBackground(this.raise([tag], 'repair', this.#ownDeadline()), 'repair')",
        by: 'this.#options.inBackground(this.#options.shared.put(tag, this.#options.epochs.record(tag).epoch, this.#ownDeadline()).catch(() => {}), "repair")',
      },
      {
        file: raises,
        replace: "if (told.length > 0 && !(await this.raise(told, 'repair', this.#ownDeadline(true)))) return false",
        by: 'for (const tag of told) await this.#options.shared.put(tag, this.#options.epochs.record(tag).epoch, this.#ownDeadline(true)).catch(() => {})',
      },
    ],
    scenarios: ['repairedTwice'],
  },
  {
    name: 'lost raises are not repaired',
    patches: [
      {
        file: raises,
        replace: "this.#options.inBackground(this.raise([tag], 'repair', this.#ownDeadline()), 'repair')",
        by: '',
      },
      { file: raises, replace: 'if (told.length > 0 &&', by: 'if (told.length < 0 &&' },
    ],
    scenarios: ['lostRaise'],
  },
  {
    name: 'the reply to a question of another link counts',
    patches: [{ file: epochs, replace: '      (this.#shared?.link ?? 0) === question.link &&\n', by: '' }],
    scenarios: ['resentAfterFailover'],
  },
  {
    // A reply lower than the record is not believed either way: that is out as well.
    name: 'a reply that crossed a raise counts',
    patches: [
      { file: epochs, replace: '      record.raises === question.raises[i] &&\n', by: '' },
      { file: epochs, replace: "    if (reply < record.epoch) return 'void'\n", by: '' },
    ],
    scenarios: [],
  },
  {
    name: 'a reply that a message has overtaken is learned',
    patches: [{ file: epochs, replace: "    if (reply < record.epoch) return 'void'\n", by: '' }],
    scenarios: ['lateReplies'],
  },
  {
    name: 'a number is believed from when its reply came',
    patches: [
      {
        file: epochs,
        replace: 'Math.max(record.verifiedAtMs, question.sentAtMs)',
        by: 'this.#clock.monotonic()',
      },
    ],
    scenarios: ['slowReply'],
  },
  {
    name: 'a message counts as a verification',
    patches: [
      {
        file: epochs,
        replace: '    if (epoch > record.epoch) this.#learn(record, epoch)\n    else if',
        by: '    record.verifiedAtMs = this.#clock.monotonic()\n    record.session = this.#session\n    if (epoch > record.epoch) this.#learn(record, epoch)\n    else if',
      },
    ],
    scenarios: ['lateMessage'],
  },
  {
    // Nor does a number of Redis' get past that of the untold raise: that is out as well.
    name: 'Redis is believed about a tag with a raise untold',
    patches: [
      {
        file: epochs,
        replace: '      record.settled === record.raises &&\n      this.#session',
        by: '      this.#session',
      },
      { file: epochs, replace: '      !this.isPending(record) &&\n      this.#session', by: '      this.#session' },
      {
        file: epochs,
        replace: 'return this.#pinned.size > 0 && tags.some((tag) => this.#pinned.has(tag))',
        by: 'return tags.length < 0',
      },
      { file: epochs, replace: 'this.isPending(record) ? this.#ownNumber(record, epoch) : epoch', by: 'epoch' },
    ],
    scenarios: ['untoldBelieved'],
  },
  {
    name: 'a foreign message settles what is untold',
    patches: [{ file: epochs, replace: ' && !this.isPending(record)\n    return isLate', by: '\n    return isLate' }],
    scenarios: ['foreignSwallows'],
  },
  {
    name: 'a foreign message is compared with a number of another session',
    patches: [
      {
        file: epochs,
        replace: 'record && this.#session !== 0 && record.session === this.#session && !this',
        by: 'record && !this',
      },
    ],
    scenarios: ['foreignAfterReconnect'],
  },
  {
    name: 'a raise that is untold falls below what is heard',
    patches: [
      { file: epochs, replace: 'this.isPending(record) ? this.#ownNumber(record, epoch) : epoch', by: 'epoch' },
    ],
    scenarios: ['overtakenWhilePending'],
  },
  {
    name: "a foreign message is taken for this worker's own long after one of ours was lost",
    patches: [
      {
        file: 'tiers/messages.ts',
        replace: 'return untilMs !== undefined && nowMs < untilMs',
        by: 'return untilMs !== undefined',
      },
    ],
    scenarios: ['foreignTakenForOurs'],
  },
  {
    name: 'the stamps in L2 are compared with nothing but their number of tags',
    patches: [
      {
        file: cache,
        replace: '    if (!this.#local.isCurrent(decoded.stamps, wanted.tags)) return undefined\n',
        by: '',
      },
    ],
    scenarios: [],
  },
  {
    name: 'a tag that was raised while a load ran is revealed all the same',
    patches: [
      {
        file: epochs,
        replace: "verdict === 'verified' && reply?.raisedSince === false",
        by: "verdict === 'verified' && reply",
      },
    ],
    scenarios: [],
  },
  {
    name: 'a tag is revealed by another server than that of the beginning',
    patches: [{ file: epochs, replace: '    if (shared && shared.link !== began.link) return undefined\n', by: '' }],
    scenarios: ['revealAcrossFailover'],
  },
  {
    name: 'a raise that was heard of while Redis is away does not keep a load from revealing its tag',
    patches: [
      {
        file: epochs,
        replace: '    record.epoch = current\n    record.raisedAt = ++this.#count\n',
        by: '    record.epoch = current\n',
      },
      { file: epochs, replace: '      this.#fellOut++\n      return\n', by: '      return\n' },
    ],
    scenarios: ['heardWhileAway'],
  },
  {
    name: 'numbers of one worker are stored for all',
    patches: [
      {
        file: cache,
        replace: "missed.reach === 'both' && stamps.epochs.every(isSharedNumber)",
        by: "missed.reach === 'both'",
      },
    ],
    scenarios: ['ownNumbers'],
  },
]
