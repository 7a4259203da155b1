/*
 * One worker of the world: the real cache, put together as lib/worker.ts does it, over the model of Redis, with a
 * subscriber that hears what the schedule delivers.
 */
import type { Cache } from '../../lib/cache/cache.ts'
import type { Entry } from '../../lib/cache/entry.ts'
import type { EpochRecord } from '../../lib/cache/epoch-record.ts'
import type { Epochs } from '../../lib/cache/epochs.ts'
import type { Raises } from '../../lib/cache/raises.ts'
import type { Values } from '../../lib/cache/values.ts'
import type { Memory } from '../../lib/tiers/memory.ts'
import type { FakeClock } from '../helpers/fake-clock.ts'
import type { ModelStore } from './model-store.ts'
import { ModelTier } from './model-tier.ts'
import type { Modules } from './modules.ts'
import type { Steps } from './steps.ts'

export interface WorkerOptions {
  readonly name: string
  readonly modules: Modules
  readonly store: ModelStore
  readonly steps: Steps
  readonly clock: FakeClock
  readonly settings: Settings
  readonly onError: (error: unknown) => void
}

/** What differs between worlds. */
export interface Settings {
  readonly hasRedis: boolean
  readonly whenRedisIsDown: 'serve-memory' | 'bypass'
  readonly maxStalenessMs: number
  readonly ttlMs: number
  readonly lockTtlMs: number
  readonly maxRecords: number
  /** Two of the tags are only revealed by the answer. */
  readonly reveals: boolean
  /** Raises empty L1, as worker.ts has it; nothing may depend on it. */
  readonly clears: boolean
  /** Questions are sent by a step of their own, not at once. */
  readonly defers: boolean
  readonly isSplit: boolean
  readonly isTardy: boolean
  readonly resends: boolean
  /** How fast the clock of Redis goes. */
  readonly clockRate: number
}

export const REDIS_TIMEOUT_MS = 250

interface Heard {
  readonly message: string
  readonly version: number
  readonly isForeign: boolean
}

const EPOCH_MESSAGE = /^epoch /
const FOREIGN_TAG = /^(registry:[A-Za-z0-9_.-]{0,64}|tool_lookup:.+|admin:.+)$/s

export class ModelWorker {
  readonly name: string
  readonly tier: ModelTier
  readonly memory: Memory
  readonly epochs: Epochs
  readonly raises: Raises
  readonly cache: Cache
  readonly normal: Values
  readonly strong: Values
  readonly settings: Settings
  readonly #options: WorkerOptions
  readonly #pairing
  #background = 0
  #isRecovering = false
  /** Messages on their way to it. */
  readonly inbox: Heard[] = []
  isLive = false
  /** When it became live, as a moment of the store. */
  liveSince = 0
  /** A message of this session was lost. */
  hasMissed = false
  /** What it has written itself, and what it was told of by message. */
  ownFloor = 0
  heardFloor = 0
  /** What messages of lower numbers than the known ones told of: a reason to ask. */
  suspectFloor = 0
  readonly #channel = (message: string, version: number, isForeign: boolean): void => {
    this.inbox.push({ message, version, isForeign })
  }

  constructor(options: WorkerOptions) {
    this.#options = options
    const { name, modules, store, steps, clock, settings, onError } = options
    this.name = name
    this.settings = settings
    const { isSplit, isTardy, resends, lockTtlMs, maxRecords, whenRedisIsDown } = settings
    this.tier = new ModelTier({ worker: name, store, steps, clock, isSplit, isTardy, resends })
    const shared = settings.hasRedis ? this.tier : undefined
    const redisTimeoutMs = REDIS_TIMEOUT_MS
    this.memory = new modules.memory.Memory(
      { maxBytes: 2 ** 20, maxEntryBytes: 2 ** 16, maxEntries: 100 },
      clock,
      () => {},
    )
    const inBackground = (work: Promise<unknown>): void => {
      this.#background++
      work.catch(onError).finally(() => this.#background--)
    }
    const epochs = new modules.epochs.Epochs({
      clock,
      shared,
      maxRecords,
      onRaise: (tag) => {
        if (!settings.clears) return
        if (tag === 'registry:') this.memory.clear()
        else if (tag.startsWith('registry:')) this.memory.clear(tag.slice('registry:'.length))
      },
      onLost: (tag) => this.raises.repair(tag),
      workerId: name,
    })
    this.epochs = epochs
    const longestTtlMs = (): number => Math.max(settings.ttlMs, 60_000)
    this.raises = new modules.raises.Raises({
      epochs,
      shared,
      clock,
      redisTimeoutMs,
      retryMs: 1000,
      longestTtlMs,
      inBackground,
    })
    const defer = (run: () => void): void =>
      settings.defers ? steps.add(`${name} question: sent`, run) : void setImmediate(run)
    const questions =
      shared && new modules.questions.Questions({ epochs, shared, clock, redisTimeoutMs, defer, inBackground })
    const counters = new modules.counters.Counters()
    this.cache = new modules.cache.Cache({
      clock,
      memory: this.memory,
      shared,
      epochs,
      raises: this.raises,
      questions,
      flights: new modules.flights.Flights(clock, lockTtlMs || 5000),
      counters,
      whenRedisIsDown,
      redisTimeoutMs,
      dependentsOf: () => [],
      inBackground,
      onError,
    })
    const fleet = new modules.fleet.Fleet(this.cache, lockTtlMs)
    const events = new modules.events.Events()
    const values = (maxStalenessMs: number): Values =>
      new modules.values.Values({
        cache: this.cache,
        fleet,
        counters,
        events,
        maxStalenessMs: () => maxStalenessMs,
      })
    this.normal = values(settings.maxStalenessMs)
    this.strong = values(0)
    this.#pairing = new modules.messages.Pairing()
  }

  get isBusy(): boolean {
    return this.#background > 0 || this.#isRecovering
  }

  /** Every record, by tag; looking does not touch the order in which they fall out. */
  records(): Map<string, EpochRecord> {
    const all = [...this.epochs.records(), ...this.epochs.pending()]
    return new Map(all.map((record) => [record.tag, record]))
  }

  /** The entries in L1 that would be valid if the records were verified. */
  validEntries(): Entry[] {
    const records = this.records()
    return [...this.memory.list()]
      .map(([, , entry]) => entry)
      .filter((entry) => entry.tags.every((tag, i) => records.get(tag)?.epoch === entry.epochs[i]))
  }

  // --- Redis --------------------------------------------------------------------------------------------------------

  get mayRecover(): boolean {
    return !this.tier.isUp() && !this.#isRecovering
  }

  recover(): void {
    this.#isRecovering = true
    const recovery = async (): Promise<boolean> =>
      (await this.raises.tellPending(true)) && (await this.raises.verifyRecent())
    this.tier
      .recover(recovery)
      .catch(this.#options.onError)
      .finally(() => {
        this.#isRecovering = false
      })
  }

  // --- the subscription -----------------------------------------------------------------------------------------------

  get isAttached(): boolean {
    return this.#options.store.channels.has(this.#channel)
  }

  /** Redis has accepted the subscription. */
  attach(): void {
    this.#options.store.channels.add(this.#channel)
    this.inbox.length = 0
  }

  /** The worker has heard of that. */
  becomeLive(): void {
    this.#pairing.reset()
    this.isLive = true
    this.liveSince = this.#options.store.moment
    this.hasMissed = false
    this.epochs.subscriptionLive()
  }

  loseSubscription(): void {
    this.#options.store.channels.delete(this.#channel)
    this.inbox.length = 0
    this.isLive = false
    this.#pairing.reset()
    this.epochs.subscriptionLost()
  }

  /** Its messages go nowhere, and it does not notice. */
  goDeaf(): void {
    this.#options.store.channels.delete(this.#channel)
    this.inbox.length = 0
    this.hasMissed = true
  }

  loseMessage(): void {
    this.inbox.shift()
    this.hasMissed = true
  }

  hear(): void {
    const next = this.inbox.shift()
    if (!next || !this.isLive) return
    const { message, version, isForeign } = next
    this.#options.steps.note(`${this.name} hears ${message}`)
    const nowMs = this.#options.clock.monotonic()
    if (EPOCH_MESSAGE.test(message)) {
      const [, epoch, , worker = '', cause = '', tag = ''] = message.split(' ')
      this.#pairing.epochMessage(tag, nowMs)
      const isLower = Number(epoch) < (this.records().get(tag)?.epoch ?? 0)
      this.epochs.heard(tag, Number(epoch), cause, worker)
      if (isLower) this.suspectFloor = Math.max(this.suspectFloor, version)
      else this.heardFloor = Math.max(this.heardFloor, version)
      return
    }
    if (isForeign && !this.hasMissed) this.heardFloor = Math.max(this.heardFloor, version)
    if (this.#pairing.bareMessage(message, nowMs)) return
    if (FOREIGN_TAG.test(message)) this.raises.heardForeign(message)
  }
}
