/*
 * A bounded load on a fleet, and a checker of what it was answered. Versions of an item only grow and each write ends when its
 * invalidation was acknowledged, so every answer is either new enough or a broken promise:
 *
 *   own writes      a read sees every write that was acknowledged on its worker before it began
 *   others' writes  and every one that Redis was told of, once maxStaleness and 300 ms have passed, while both reach Redis
 *   strong mode     and at once, where it reads in strong mode
 *
 * The pauses are the load's pace; nothing waits for a guessed time.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Fleet, FleetWorker } from '../workers/fleet.ts'

export const KEYS = ['x', 'y', 'z'] as const
/** An item is read in one mode alone: what a strong read finds out would help the others. */
export const PATHS = { x: '/items/x', y: '/items/y', z: '/strong/z' } as const
export const SLACK_MS = 300
const MAX_REQUESTS = 30_000
const MAX_MS = 45_000

interface Write {
  readonly key: string
  readonly version: number
  readonly worker: FleetWorker
  readonly acknowledgedAtMs: number
  /** Whether Redis was told before it was acknowledged. */
  readonly shared: boolean
}

interface Read {
  readonly path: string
  readonly key: string
  readonly version: number
  readonly worker: FleetWorker
  readonly startedAtMs: number
}

/** A time in which these workers can not reach Redis; afterwards they are not held to others' writes for as long as `graceMs`. */
interface Unreachable {
  readonly workers: readonly FleetWorker[]
  readonly fromMs: number
  toMs: number
}

export class Load {
  readonly #fleet: Fleet
  readonly #maxStalenessMs: number
  readonly #random: () => number
  readonly #writes: Write[] = []
  readonly #reads: Read[] = []
  readonly #failures: string[] = []
  readonly #unreachable: Unreachable[] = []
  readonly #versions = new Map<string, number>()
  readonly #startedAtMs = performance.now()
  #loops: Promise<void>[] = []
  #isReading = true
  #isWriting = true

  constructor(fleet: Fleet, maxStalenessMs: number, seed: number) {
    this.#fleet = fleet
    this.#maxStalenessMs = maxStalenessMs
    this.#random = randomFrom(seed)
    for (const worker of fleet.workers) {
      for (let i = 0; i < 2; i++) this.#loops.push(this.#read(worker))
    }
    this.#loops.push(...KEYS.map((key) => this.#write(key)))
  }

  get reads(): number {
    return this.#reads.length
  }

  get writes(): number {
    return this.#writes.length
  }

  /** The version of the last write of an item. */
  latest(key: string): number {
    return this.#versions.get(key) ?? 0
  }

  /** These can not reach Redis from now until the returned function is called. */
  cutOff(workers: readonly FleetWorker[]): () => void {
    const fault: Unreachable = { workers, fromMs: performance.now(), toMs: Number.POSITIVE_INFINITY }
    this.#unreachable.push(fault)
    return () => {
      fault.toMs = performance.now()
    }
  }

  get isWriting(): boolean {
    return this.#isWriting
  }

  async stopWriting(): Promise<void> {
    this.#isWriting = false
    await Promise.all(this.#loops.slice(-KEYS.length))
  }

  /** Ends the load. Resolves to the broken promises, none of them if all is well. */
  async stop(): Promise<string[]> {
    this.#isReading = false
    this.#isWriting = false
    await Promise.all(this.#loops)
    return [...this.#failures, ...this.#reads.flatMap((read) => this.#judge(read))]
  }

  get #isOver(): boolean {
    return this.#reads.length > MAX_REQUESTS || performance.now() - this.#startedAtMs > MAX_MS
  }

  async #read(worker: FleetWorker): Promise<void> {
    while (this.#isReading && !this.#isOver) {
      const key = this.#pick(KEYS)
      const path = PATHS[key]
      const startedAtMs = performance.now()
      await worker.version(path).then(
        (version) => this.#reads.push({ path, key, version, worker, startedAtMs }),
        (error: Error) => this.#failures.push(`GET ${path} failed: ${error.message}`),
      )
      await worker
        .version('/calm/k')
        .catch((error: Error) => this.#failures.push(`GET /calm/k failed: ${error.message}`))
      await pause(4)
    }
  }

  /** One at a time for each item, so that its versions are committed in order. */
  async #write(key: string): Promise<void> {
    while (this.#isWriting && !this.#isOver) {
      const worker = this.#pick(this.#fleet.workers)
      const version = this.latest(key) + 1
      this.#versions.set(key, version)
      try {
        const answer = await worker.post(`/told/${key}?version=${version}`)
        if (answer.status !== 200) this.#failures.push(`POST gave ${answer.status}`)
        const { shared } = answer.json<{ shared: boolean }>()
        this.#writes.push({ key, version, worker, acknowledgedAtMs: performance.now(), shared })
      } catch (error) {
        this.#failures.push(`POST failed: ${(error as Error).message}`)
      }
      await pause(20 + 80 * this.#random())
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T
  }

  #judge(read: Read): string[] {
    const broken = this.#writes.find(
      (write) =>
        write.key === read.key && write.version > read.version && read.startedAtMs >= this.#dueAtMs(write, read),
    )
    if (!broken) return []
    const whose = broken.worker === read.worker ? 'its own' : "another's"
    const lateMs = Math.round(read.startedAtMs - broken.acknowledgedAtMs)
    return [
      `${read.path} gave ${read.version} to a read that began ${lateMs} ms after ${whose} write ${broken.version}`,
    ]
  }

  /** From when on a read there must see this write. */
  #dueAtMs(write: Write, read: Read): number {
    if (write.worker === read.worker) return write.acknowledgedAtMs
    if (!write.shared) return Number.POSITIVE_INFINITY // Until the fault is over, which the scenario checks itself.
    if (read.path.startsWith('/strong/')) return write.acknowledgedAtMs
    const dueAtMs = write.acknowledgedAtMs + this.#maxStalenessMs + SLACK_MS
    const isCutOff = this.#unreachable.some(
      ({ workers, fromMs, toMs }) =>
        workers.includes(read.worker) &&
        fromMs <= Math.max(dueAtMs, read.startedAtMs) &&
        toMs + this.#maxStalenessMs + 2_000 >= write.acknowledgedAtMs,
    )
    return isCutOff ? Number.POSITIVE_INFINITY : dueAtMs
  }
}

/** mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
