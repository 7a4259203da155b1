/*
 * Two workers, one model of Redis, one database: what may happen, and what must hold after each step of it.
 *
 * The database is a number that each write raises. Whatever is read from it carries that number, so "older than a write" is
 * a comparison. Every entry depends on four tags: the two of its type, and two that are named by the request or revealed
 * by the answer. A raise of any of them makes everything worthless that was read before the raise was executed.
 */
import { decodeEntry } from '../../lib/cache/entry.ts'
import { createFakeClock, settle } from '../helpers/fake-clock.ts'
import { type Copy, isUnrelated, ModelStore } from './model-store.ts'
import { ModelWorker, REDIS_TIMEOUT_MS, type Settings } from './model-worker.ts'
import type { Modules } from './modules.ts'
import { Steps } from './steps.ts'

export const TYPE = 'registry:tools'
export const ALL = 'registry:'
export const GATEWAY = 'tool_lookup:gateway:g'
export const NAME = 'tool_lookup:n'
export const TAGS = [TYPE, ALL, GATEWAY, NAME] as const

export const USUAL: Settings = {
  hasRedis: true,
  whenRedisIsDown: 'serve-memory',
  maxStalenessMs: 1000,
  ttlMs: 20_000,
  lockTtlMs: 0,
  maxRecords: 1000,
  reveals: false,
  clears: false,
  defers: false,
  isSplit: false,
  isTardy: false,
  resends: false,
  clockRate: 1,
}

/** What was read from the database, and which handler read it. */
interface Value {
  readonly version: number
  readonly id: number
}

export interface Read {
  readonly worker: ModelWorker
  readonly isStrong: boolean
  /** Undefined until it has ended. */
  answer: Value | undefined
  ranHandler: boolean
}

/** A promise was broken. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

export class World {
  readonly clock = createFakeClock()
  readonly steps = new Steps()
  readonly store: ModelStore
  readonly a: ModelWorker
  readonly b: ModelWorker
  readonly settings: Settings
  readonly #errors: unknown[] = []
  readonly reads: Read[] = []
  /** Until when a value may live in L2, hence anywhere. */
  readonly #ends = new Map<number, number>()
  #ids = 0
  #running = 0
  #unanswered = 0
  #unacknowledged = 0
  /** A foreign publisher's message that nobody heard: not promised to be seen before the TTL. */
  hasLostForeign = false

  constructor(modules: Modules, settings: Partial<Settings> = {}, seed = 1) {
    this.settings = { ...USUAL, ...settings }
    this.store = new ModelStore(this.clock, random(seed), this.settings.clockRate)
    const make = (name: string): ModelWorker =>
      new ModelWorker({
        name,
        modules,
        store: this.store,
        steps: this.steps,
        clock: this.clock,
        settings: this.settings,
        onError: (error) => this.#errors.push(error),
      })
    this.a = make('A')
    this.b = make('B')
    for (const worker of this.workers) worker.tier.onLateReply = (deliver) => this.#deliverLate(worker, deliver)
  }

  get workers(): readonly [ModelWorker, ModelWorker] {
    return [this.a, this.b]
  }

  /** Handlers that have read the database and not ended. */
  get running(): number {
    return this.#running
  }

  get unanswered(): number {
    return this.#unanswered
  }

  get unacknowledged(): number {
    return this.#unacknowledged
  }

  // --- what may happen ----------------------------------------------------------------------------------------------

  /** Both subscriptions are live, as after a start that went well. */
  subscribe(...workers: readonly ModelWorker[]): this {
    for (const worker of workers.length > 0 ? workers : this.workers) {
      worker.attach()
      worker.becomeLive()
    }
    return this
  }

  read(worker: ModelWorker, isStrong = false, key = 1): Read {
    const id = this.#note(`${worker.name} reads${isStrong ? ' strongly' : ''}`)
    const read: Read = { worker, isStrong, answer: undefined, ranHandler: false }
    this.reads.push(read)
    this.#unanswered++
    const check = this.#expect(read, id)
    const load = async (): Promise<Value> => {
      read.ranHandler = true
      const value = { version: this.store.version, id: ++this.#ids }
      this.#running++
      this.steps.note(`  the handler of ${id} reads ${value.version}`)
      await new Promise<void>((resolve) => this.steps.add(`${worker.name} handler of ${id}: ends`, resolve))
      this.#running--
      return value
    }
    const { ttlMs, reveals } = this.settings
    const more = [GATEWAY, NAME]
    ;(isStrong ? worker.strong : worker.normal)
      .wrap('tools', { key }, load, { ttlMs, negativeTtlMs: ttlMs }, reveals ? () => more : more)
      .then((value) => {
        read.answer = value
        this.steps.note(`  ${id} is answered with ${value.version}`)
        check(value)
      })
      .catch((error: unknown) => this.#errors.push(error))
      .finally(() => this.#unanswered--)
    return read
  }

  /** Writes the database, then invalidates. */
  write(worker: ModelWorker, tag: string): Promise<boolean> {
    const version = isUnrelated(tag) ? this.store.version : ++this.store.version
    this.#note(`${worker.name} writes ${version} and invalidates ${tag}`)
    worker.ownFloor = version
    this.#unacknowledged++
    const told = worker.cache.invalidate([tag], 'api')
    void told
      .then((isShared) =>
        this.steps.note(`  ${worker.name} is told that ${version} is ${isShared ? '' : 'not '}shared`),
      )
      .catch((error: unknown) => this.#errors.push(error))
      .finally(() => this.#unacknowledged--)
    return told
  }

  /** Somebody who raises nothing writes and says so; he may also delete what he stored under names like ours. */
  writeForeign(tag: string, deletes: boolean): void {
    const version = ++this.store.version
    this.#note(`a foreign publisher writes ${version} and names ${tag}${deletes ? ', its epoch deleted' : ''}`)
    if (deletes) this.store.loseEpoch(tag)
    if (!this.workers.some((worker) => worker.isAttached && worker.isLive && !worker.hasMissed)) {
      this.hasLostForeign = true
    }
    this.store.publish(tag, true)
  }

  drop(worker: ModelWorker): void {
    this.#note(`${worker.name} loses its link`)
    worker.tier.drop('connection lost')
  }

  failOver(copy: Copy, offsetUs: number): void {
    this.#note(`Redis fails over to a copy with ${copy.floors.length} raises`)
    if (offsetUs < 0) this.#note('the clock of Redis is behind')
    this.store.failOver(copy, offsetUs)
    for (const worker of this.workers) {
      worker.tier.drop('failover')
      worker.hasMissed = true
      // What was only heard of may be forgotten with a record that fell out; what was raised here is remembered.
      worker.heardFloor = 0
      worker.suspectFloor = 0
      if (worker.inbox.some(({ isForeign }) => isForeign)) this.hasLostForeign = true
    }
  }

  /** Lets everything happen that needs no step and no time, and looks whether all still holds. */
  async settle(): Promise<void> {
    await settle()
    this.store.moment++
    this.check()
  }

  async pass(ms: number): Promise<void> {
    this.#note(`${ms} ms pass`)
    await this.clock.advanceAsync(ms)
    await this.settle()
  }

  /** Takes the first step with such a label. */
  async step(label: RegExp): Promise<void> {
    const index = this.steps.find(label)
    if (index < 0) {
      throw new Error(`no step ${label} among:\n${this.steps.pending.map((step) => step.label).join('\n')}`)
    }
    this.steps.take(index)
    await this.settle()
  }

  /** Executes and answers everything on the wires, oldest first; handlers and messages stay. */
  async flow(also?: RegExp, except?: RegExp): Promise<void> {
    for (let i = 0; i < 1000; i++) {
      await this.settle()
      const index = this.steps.pending.findIndex(({ label }) => {
        return (!/handler/.test(label) || also?.test(label)) && !except?.test(label)
      })
      if (index < 0) return
      this.steps.take(index)
    }
    throw new Violation('it does not come to rest')
  }

  /** A read with all that it needs: the answer. */
  async readNow(worker: ModelWorker, isStrong = false): Promise<Read> {
    const read = this.read(worker, isStrong)
    await this.flow(/handler/)
    // It may have to wait for another worker's lock.
    for (let i = 0; i < 20 && read.answer === undefined; i++) {
      await this.clock.advanceAsync(100)
      await this.flow(/handler/)
    }
    if (read.answer === undefined) throw new Violation(`a read of ${worker.name} hangs`)
    return read
  }

  async writeNow(worker: ModelWorker, tag: string, except?: RegExp): Promise<void> {
    const told = this.write(worker, tag)
    await this.flow(undefined, except)
    await told
  }

  #note(what: string): string {
    this.steps.note(what)
    return `read ${this.reads.length + 1}`
  }

  // --- what must hold -----------------------------------------------------------------------------------------------

  /** What the read that starts now must see; called with what it got. */
  #expect(read: Read, id: string): (value: Value) => void {
    const { worker, isStrong } = read
    const { whenRedisIsDown, maxStalenessMs, hasRedis } = this.settings
    const startMs = this.clock.monotonic()
    const { troubles } = worker.tier
    const wasUp = worker.tier.isUp()
    const { ownFloor, heardFloor } = worker
    const verified = Math.max(
      worker.suspectFloor,
      ...this.store.floors
        .filter(({ atMs, moment }) => {
          const isOld = atMs <= startMs - maxStalenessMs
          return isStrong || !worker.isLive || moment < worker.liveSince || isOld
        })
        .map(({ version }) => version),
    )
    const copies = this.store.incarnation
    return (value) => {
      const demand = (floor: number, promise: string): void => {
        if (value.version < floor) {
          throw new Violation(`${promise}: ${id} got ${value.version}, and had to get ${floor} or newer`)
        }
      }
      demand(ownFloor, 'own writes')
      if (!hasRedis) return
      if (this.store.incarnation === copies) demand(heardFloor, 'a message that was heard')
      const isUndisturbed =
        wasUp && worker.tier.troubles === troubles && this.clock.monotonic() - startMs < REDIS_TIMEOUT_MS
      const isVerified = isStrong || whenRedisIsDown === 'bypass' || isUndisturbed
      const promise = isStrong ? 'strong mode' : worker.isLive ? "others' writes" : 'without a subscription'
      if (isVerified && this.store.incarnation === copies) demand(verified, promise)
    }
  }

  check(): void {
    const [error] = this.#errors
    if (error !== undefined) throw error
    this.#checkShared()
    for (const worker of this.workers) this.#checkMemory(worker)
  }

  /** No entry is valid in L2 that was read before the last raise. */
  #checkShared(): void {
    const floor = Math.max(0, ...this.store.floors.map(({ version }) => version))
    for (const { envelope, endsAtMs } of this.store.entries.values()) {
      const decoded = decodeEntry(envelope)
      if (!decoded) throw new Violation('L2 has something that is no entry')
      const value = parse(decoded.content.body)
      this.#ends.set(value.id, Math.max(this.#ends.get(value.id) ?? 0, endsAtMs))
      const { tags, epochs } = decoded.stamps
      if (!epochs.every((epoch) => Number.isSafeInteger(epoch) && epoch > 1e12)) {
        throw new Violation(`L2 has a number that one worker made up: ${epochs.join()}`)
      }
      const isValid = endsAtMs > this.clock.monotonic() && tags.every((tag, i) => this.store.peek(tag) === epochs[i])
      if (isValid && value.version < floor) {
        throw new Violation(`late fills: L2 has ${value.version} as valid, after a raise for ${floor}`)
      }
    }
  }

  /** Nor in L1, as far as this worker knows; and none outlives what it was copied from. */
  #checkMemory(worker: ModelWorker): void {
    const floor = Math.max(worker.ownFloor, worker.heardFloor)
    for (const entry of worker.validEntries()) {
      const value = parse(entry.body)
      if (value.version < floor) {
        throw new Violation(`late fills: L1 of ${worker.name} has ${value.version} as valid, after ${floor}`)
      }
      // First seen where it was computed, at the instant of its storing.
      const endMs = this.#ends.get(value.id) ?? entry.deleteAtMs
      this.#ends.set(value.id, endMs)
      if (entry.deleteAtMs > endMs) {
        throw new Violation(`TTL: ${worker.name} keeps a copy until ${entry.deleteAtMs}, its entry ends at ${endMs}`)
      }
    }
  }

  /** A reply after its deadline leaves no mark on the records. */
  #deliverLate(worker: ModelWorker, deliver: () => void): void {
    const before = [...worker.records().values()].map((record) => ({ record, ...record }))
    const hasLearned = (): boolean =>
      before.some(({ record, epoch, verifiedAtMs, raises }) => {
        return record.raises === raises && (record.epoch !== epoch || record.verifiedAtMs !== verifiedAtMs)
      })
    this.steps.note('  that came after its deadline')
    deliver()
    // Its continuations run before anything else does.
    void Promise.resolve()
      .then(() => {})
      .then(() => {})
      .then(() => {})
      .then(() => {
        if (hasLearned()) this.#errors.push(new Violation(`a reply to ${worker.name} after its deadline was learned`))
      })
  }

  // --- the end ------------------------------------------------------------------------------------------------------

  /** Everything works again: all that is under way ends, and after `maxStaleness` both workers see the last write. */
  async heal(): Promise<void> {
    this.#note('everything works again')
    this.store.isFull = false
    for (let round = 0; round < 12; round++) {
      for (const worker of this.workers) {
        if (!worker.isAttached && worker.isLive) worker.loseSubscription()
        if (!worker.isAttached) worker.attach()
        if (!worker.isLive) worker.becomeLive()
        if (worker.mayRecover && this.settings.hasRedis) worker.recover()
        while (worker.inbox.length > 0) worker.hear()
      }
      await this.flow(/handler/)
      await this.clock.advanceAsync(1000)
    }
    await this.flow(/handler/)
    if (this.#unanswered > 0) throw new Violation(`${this.#unanswered} reads hang`)
    if (this.#unacknowledged > 0) throw new Violation(`${this.#unacknowledged} invalidations hang`)
    if (!this.settings.hasRedis) return
    for (const worker of this.workers) {
      if (!worker.tier.isUp()) throw new Violation(`${worker.name} does not believe Redis again`)
      const pending = worker.epochs.pendingRaises
      if (pending > 0) throw new Violation(`${worker.name} keeps ${pending} raises to itself`)
    }
    await this.clock.advanceAsync(this.settings.maxStalenessMs + 1)
    for (const worker of this.workers) {
      const read = await this.readNow(worker)
      if (!this.hasLostForeign && (read.answer?.version ?? 0) < this.store.version) {
        throw new Violation(`in the end ${worker.name} has ${read.answer?.version} instead of ${this.store.version}`)
      }
    }
  }
}

const parsed = new WeakMap<Buffer, Value>()

function parse(body: Buffer): Value {
  const value = parsed.get(body) ?? (JSON.parse(body.toString()) as Value)
  parsed.set(body, value)
  return value
}

/** A small generator of numbers in 0..1 (mulberry32): the same for the same seed. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
