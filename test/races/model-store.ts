/*
 * A model of Redis: epochs, entries and locks, a clock of its own in microseconds, a channel. It follows the scripts in
 * lib/tiers/scripts.ts. What it leaves out: that two numbers are equal by a coincidence of one in a million.
 */
import type { FakeClock } from '../helpers/fake-clock.ts'

export type Channel = (message: string, version: number, isForeign: boolean) => void

export interface Written {
  readonly envelope: Buffer
  readonly endsAtMs: number
}

/** A raise that was executed: whatever was read from the database before it is dead. */
export interface Floor {
  readonly version: number
  readonly atMs: number
  readonly moment: number
}

interface Data {
  readonly epochs: Map<string, number>
  readonly entries: Map<string, Written>
  readonly floors: Floor[]
}

const START_US = 1.7e15

export class ModelStore {
  readonly #clock: FakeClock
  readonly #random: () => number
  /** How fast its clock goes: 1 as all others, 0 not at all. */
  readonly #rate: number
  readonly #given = new Set<string>()
  readonly #locks = new Map<string, { token: string; endsAtMs: number }>()
  #data: Data = { epochs: new Map(), entries: new Map(), floors: [] }
  #offsetUs = 0
  readonly channels = new Set<Channel>()
  /** Which server it is: connections to another one are dead. */
  incarnation = 1
  /** A full Redis refuses what writes. */
  isFull = false
  /** The version of the database, and a counter of events, both kept by the world. */
  version = 0
  moment = 0

  constructor(clock: FakeClock, random: () => number, rate: number) {
    this.#clock = clock
    this.#random = random
    this.#rate = rate
  }

  get #nowUs(): number {
    return START_US + this.#offsetUs + Math.floor(this.#clock.monotonic() * 1000 * this.#rate)
  }

  get floors(): readonly Floor[] {
    return this.#data.floors
  }

  get entries(): ReadonlyMap<string, Written> {
    return this.#data.entries
  }

  peek(tag: string): number | undefined {
    return this.#data.epochs.get(tag)
  }

  // --- scripts ----------------------------------------------------------------------------------------------------

  open(tag: string): number | undefined {
    const epoch = this.#data.epochs.get(tag)
    if (epoch !== undefined) return epoch
    return this.isFull ? undefined : this.#give(tag, this.#nowUs)
  }

  raise(tag: string, floor: number, worker: string, cause: string): number | undefined {
    const step = 1 + Math.floor(this.#random() * 1000)
    if (this.isFull) {
      this.#data.epochs.delete(tag)
      const epoch = this.#unique(tag, Math.max(floor + step, this.#nowUs))
      this.#raised(tag, epoch, worker, cause)
      return epoch
    }
    const current = this.#data.epochs.get(tag) ?? 0
    const epoch = this.#give(tag, Math.max(current + step, floor + step, this.#nowUs))
    this.#raised(tag, epoch, worker, cause)
    return epoch
  }

  raiseUnlessChanged(tag: string, floor: number, known: number, worker: string): number | undefined {
    const current = this.#data.epochs.get(tag) ?? 0
    if (known > 0 && current > known) return current
    return this.raise(tag, floor, worker, 'foreign')
  }

  /** Sets the epoch, as no script of ours does. */
  put(tag: string, epoch: number): void {
    this.#data.epochs.set(tag, epoch)
    this.#data.floors.push({ version: this.version, atMs: this.#clock.monotonic(), moment: this.moment })
  }

  reveal(tag: string, elapsedUs: number): { epoch: number; nowUs: number; isNew: boolean } | undefined {
    const epoch = this.#data.epochs.get(tag)
    if (epoch !== undefined) return { epoch, nowUs: this.#nowUs, isNew: false }
    if (this.isFull) return undefined
    return { epoch: this.#give(tag, this.#nowUs - elapsedUs - 1, -1), nowUs: this.#nowUs, isNew: true }
  }

  #raised(tag: string, epoch: number, worker: string, cause: string): void {
    const { version, moment } = this
    if (!isUnrelated(tag)) this.#data.floors.push({ version, atMs: this.#clock.monotonic(), moment })
    this.publish(`epoch ${epoch} 00000000 ${worker} ${cause} ${tag}`)
    this.publish(tag)
  }

  #give(tag: string, atLeast: number, direction = 1): number {
    const epoch = this.#unique(tag, atLeast, direction)
    this.#data.epochs.set(tag, epoch)
    return epoch
  }

  #unique(tag: string, atLeast: number, direction = 1): number {
    let epoch = atLeast
    while (this.#given.has(`${tag} ${epoch}`)) epoch += direction
    this.#given.add(`${tag} ${epoch}`)
    return epoch
  }

  publish(message: string, isForeign = false): void {
    for (const channel of this.channels) channel(message, this.version, isForeign)
  }

  // --- entries and locks --------------------------------------------------------------------------------------------

  get(key: string): { envelope: Buffer | undefined; ttlMs: number } {
    const written = this.#data.entries.get(key)
    const ttlMs = written ? Math.floor(written.endsAtMs - this.#clock.monotonic()) : -2
    return written && ttlMs > 0 ? { envelope: written.envelope, ttlMs } : { envelope: undefined, ttlMs: -2 }
  }

  set(key: string, envelope: Buffer, ttlMs: number): void {
    if (this.isFull) throw new Error('OOM command not allowed')
    const endsAtMs = this.#clock.monotonic() + Math.max(1, Math.ceil(ttlMs))
    this.#data.entries.set(key, { envelope, endsAtMs })
  }

  lock(key: string, token: string, ttlMs: number): boolean {
    if (this.isFull) throw new Error('OOM command not allowed')
    if (this.isLocked(key)) return false
    this.#locks.set(key, { token, endsAtMs: this.#clock.monotonic() + ttlMs })
    return true
  }

  unlock(key: string, token: string): void {
    if (this.#locks.get(key)?.token === token) this.#locks.delete(key)
  }

  isLocked(key: string): boolean {
    return (this.#locks.get(key)?.endsAtMs ?? Number.NEGATIVE_INFINITY) > this.#clock.monotonic()
  }

  // --- loss ---------------------------------------------------------------------------------------------------------

  /** Everything but the promises: a new number kills what was stamped with a lost one. */
  flush(): void {
    const { floors } = this.#data
    this.#data = { epochs: new Map(), entries: new Map(), floors }
    this.#locks.clear()
  }

  loseEpoch(tag: string): void {
    this.#data.epochs.delete(tag)
  }

  copy(): Data {
    const { epochs, entries, floors } = this.#data
    return { epochs: new Map(epochs), entries: new Map(entries), floors: [...floors] }
  }

  /** Another server with an older copy, and a clock of its own. */
  failOver(copy: Data, offsetUs: number): void {
    this.incarnation++
    this.#offsetUs = offsetUs
    this.#data = { epochs: new Map(copy.epochs), entries: new Map(copy.entries), floors: [...copy.floors] }
    this.#locks.clear()
    this.channels.clear()
  }
}

/** Tags that no entry of the world depends on. */
export function isUnrelated(tag: string): boolean {
  return tag.startsWith('x:')
}

export type Copy = ReturnType<ModelStore['copy']>
