/*
 * The shared tier of one worker over the model of Redis. A request is executed at a step of its own and answered at
 * another, in any order with the others, or never; it ends at its deadline, or when the link is lost. Two liberties that
 * the interface leaves to a tier can be switched on: replies that come a little after the deadline, before its timer was
 * looked at (a busy event loop), and questions that the client sends once more on the next connection.
 */
import type { Deadline, Raise, SharedLookup, SharedTier } from '../../lib/cache/tiers.ts'
import { TierError } from '../../lib/errors.ts'
import type { FakeClock } from '../helpers/fake-clock.ts'
import type { ModelStore } from './model-store.ts'
import type { Steps } from './steps.ts'

export interface ModelTierOptions {
  readonly worker: string
  readonly store: ModelStore
  readonly steps: Steps
  readonly clock: FakeClock
  /** Entry and epochs are read by two commands, as on a cluster. */
  readonly isSplit: boolean
  readonly isTardy: boolean
  readonly resends: boolean
}

const BREAKER_FAILURES = 3
const TARDY_MS = 100

export class ModelTier implements SharedTier {
  readonly #options: ModelTierOptions
  readonly #waits = new Set<(reason: string) => void>()
  #failures = 0
  #isUp = true
  /** The server that it is connected to; 0: none. */
  #server: number
  link = 1
  /** Counts what makes a reader do without Redis: failures, the loss of the link. */
  troubles = 0
  /** Replies that came after their deadline. */
  onLateReply: (deliver: () => void) => void = (deliver) => deliver()

  constructor(options: ModelTierOptions) {
    this.#options = options
    this.#server = options.store.incarnation
  }

  isUp(): boolean {
    return this.#isUp
  }

  get isConnected(): boolean {
    return this.#server === this.#options.store.incarnation
  }

  // --- the link -----------------------------------------------------------------------------------------------------

  drop(reason: string): void {
    this.#server = 0
    this.openBreaker(reason)
  }

  openBreaker(reason: string): void {
    this.#isUp = false
    this.link++
    this.troubles++
    for (const end of [...this.#waits]) end(reason)
  }

  /** Connects again; Redis is believed when the recovery has succeeded on this link. */
  async recover(recovery: () => Promise<boolean>): Promise<void> {
    this.#server = this.#options.store.incarnation
    const { link } = this
    if ((await recovery()) && link === this.link && this.isConnected) {
      this.#isUp = true
      this.#failures = 0
    }
  }

  #request<T>(operation: string, deadline: Deadline, isQuestion: boolean, execute: () => T): Promise<T> {
    const { worker, steps, clock, store, isTardy, resends } = this.#options
    const label = `${worker} ${operation}`
    if (!this.#isUp && !deadline.recovering) return Promise.reject(unavailable(operation, 'left alone'))
    const server = this.#server
    return new Promise<T>((resolve, reject) => {
      const end = (reason: string): void => {
        clock.clearTimeout(timer)
        this.#waits.delete(end)
        reject(unavailable(operation, reason))
      }
      const patienceMs = Math.max(0, deadline.atMs - clock.monotonic()) + (isTardy ? TARDY_MS : 0)
      const timer = clock.setTimeout(() => {
        this.troubles++
        isAnswered = true
        end('no answer in time')
        if (this.#isUp && ++this.#failures >= BREAKER_FAILURES) this.openBreaker('too many failures')
      }, patienceMs)
      let isAnswered = false
      if (!(resends && isQuestion)) this.#waits.add(end)
      const answer = (finish: () => void): void => {
        if (isAnswered || !(this.#waits.has(end) || (resends && isQuestion))) return
        isAnswered = true
        clock.clearTimeout(timer)
        this.#waits.delete(end)
        this.#failures = 0
        if (isQuestion && clock.monotonic() >= deadline.atMs) this.onLateReply(finish)
        else finish()
      }
      steps.add(
        `${label}: executed`,
        () => {
          if (store.incarnation !== server && !(resends && isQuestion && this.isConnected)) return
          let result: T
          try {
            result = execute()
          } catch (error) {
            steps.add(`${label}: refused`, () => answer(() => reject(error)), true)
            return
          }
          steps.add(`${label}: answered`, () => answer(() => resolve(result)), true)
        },
        true,
      )
    })
  }

  // --- the interface ------------------------------------------------------------------------------------------------

  async lookup(type: string, hash: string, tags: readonly string[], deadline: Deadline): Promise<SharedLookup> {
    const { store, isSplit } = this.#options
    const key = `${type}:${hash}`
    const open = (): (number | undefined)[] => tags.map((tag) => store.open(tag))
    if (!isSplit) return await this.#request('lookup', deadline, true, () => ({ ...store.get(key), epochs: open() }))
    const [epochs, entry] = await Promise.all([
      this.#request('lookup of epochs', deadline, true, open),
      this.#request('lookup of entry', deadline, true, () => store.get(key)),
    ])
    return { ...entry, epochs }
  }

  async readEpochs(tags: readonly string[], deadline: Deadline): Promise<readonly (number | undefined)[]> {
    const { store } = this.#options
    return await this.#request(`epochs of ${tags.join()}`, deadline, true, () => tags.map((tag) => store.open(tag)))
  }

  async raise(raises: readonly Raise[], cause: string, deadline: Deadline): Promise<readonly (number | undefined)[]> {
    const { store, worker } = this.#options
    const names = raises.map(({ tag }) => tag).join()
    return await this.#request(`raise of ${names}`, deadline, false, () =>
      raises.map(({ tag, floor }) => store.raise(tag, floor, worker, cause)),
    )
  }

  async raiseUnlessChanged({ tag, floor }: Raise, known: number, deadline: Deadline): Promise<number | undefined> {
    const { store, worker } = this.#options
    return await this.#request(`foreign raise of ${tag}`, deadline, false, () =>
      store.raiseUnlessChanged(tag, floor, known, worker),
    )
  }

  async reveal(
    tag: string,
    beganAtMs: number,
    deadline: Deadline,
  ): Promise<{ epoch: number; raisedSince: boolean } | undefined> {
    const { store, clock } = this.#options
    const elapsedUs = Math.ceil((clock.monotonic() - beganAtMs) * 1000)
    const reply = await this.#request(`reveal of ${tag}`, deadline, true, () => store.reveal(tag, elapsedUs)).catch(
      () => undefined,
    )
    if (!reply) return undefined
    const beganUs = reply.nowUs - (clock.monotonic() - beganAtMs) * 1000
    return { epoch: reply.epoch, raisedSince: !reply.isNew && reply.epoch >= beganUs }
  }

  async set(type: string, hash: string, envelope: readonly Buffer[], ttlMs: number, deadline: Deadline): Promise<void> {
    const { store } = this.#options
    await this.#request('set', deadline, false, () => store.set(`${type}:${hash}`, Buffer.concat(envelope), ttlMs))
  }

  async lock(
    type: string,
    hash: string,
    stampsHash: string,
    token: string,
    ttlMs: number,
    deadline: Deadline,
  ): Promise<{ held: boolean; envelope: Buffer | undefined; ttlMs: number }> {
    const { store, worker } = this.#options
    const key = `${type}:${hash}:${stampsHash}`
    return await this.#request('lock', deadline, false, () => ({
      held: store.lock(key, `${worker}:${token}`, ttlMs),
      ...store.get(`${type}:${hash}`),
    }))
  }

  async unlock(type: string, hash: string, stampsHash: string, token: string, deadline: Deadline): Promise<void> {
    const { store, worker } = this.#options
    const key = `${type}:${hash}:${stampsHash}`
    await this.#request('unlock', deadline, false, () => store.unlock(key, `${worker}:${token}`))
  }

  async watch(
    type: string,
    hash: string,
    stampsHash: string,
    deadline: Deadline,
  ): Promise<{ envelope: Buffer | undefined; ttlMs: number; locked: boolean }> {
    const { store } = this.#options
    return await this.#request('watch', deadline, false, () => ({
      locked: store.isLocked(`${type}:${hash}:${stampsHash}`),
      ...store.get(`${type}:${hash}`),
    }))
  }

  /** What a repair must not do: set the number back to one that was already given. */
  async put(tag: string, epoch: number, deadline: Deadline): Promise<void> {
    const { store } = this.#options
    await this.#request(`put of ${tag}`, deadline, false, () => store.put(tag, epoch))
  }
}

function unavailable(operation: string, reason: string): TierError {
  return new TierError('ERR_REDIS_UNAVAILABLE', operation, reason)
}
