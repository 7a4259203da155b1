/*
 * What a cache tells its listeners. One union serves logs, metrics, the dashboard and tests.
 * Without a listener an event costs one property read.
 */
import { EventEmitter } from 'node:events'
import type { TierError } from './errors.ts'

/** Where an answer came from: `memory` is L1, `redis` is L2 (or another worker that was quicker, by way of it). */
export type HitTier = 'memory' | 'redis'

/** A request or a `get`/`wrap` answered from the cache. `key` is the type and the hash; durations are milliseconds. */
export interface HitEvent {
  readonly type: string
  readonly key: string
  readonly tier: HitTier
  readonly ageMs: number
  /** Present on responses. */
  readonly method?: string
  readonly url?: string
  readonly status?: number
  readonly bytes?: number
  readonly durationMs?: number
  /** `front` when Express was never entered. */
  readonly via?: 'route' | 'front'
}

export interface MissEvent {
  readonly type: string
  readonly key: string
  /** True when the request waited for another one's answer. */
  readonly collapsed: boolean
}

/** What became of a miss's answer: stored where, or why not. */
export interface StoreEvent {
  readonly type: string
  readonly key: string
  readonly tiers: 'both' | 'memory' | 'none'
  /** Why it was not stored; absent when it was. */
  readonly reason?: string
  readonly bytes: number
  readonly ttlMs: number
  /** What made it: a route's handler, the `load` of `wrap`, or nothing (`set` was called with it). */
  readonly by: 'handler' | 'load' | 'set'
  /** From the miss to the answer. */
  readonly handlerMs: number
}

export interface BypassEvent {
  readonly type: string
  readonly reason: string
}

/** A tag was raised. `cause` is `api`, `foreign`, `repair`, `pending` (told after an outage) or `METHOD:route`; `worker` raised it. */
export interface InvalidateEvent {
  readonly tag: string
  readonly cause: string
  readonly worker: string
  readonly own: boolean
}

export interface EvictEvent {
  readonly type: string
  readonly key: string
  readonly bytes: number
}

/** Redis became usable (`up: true`) or was left alone (`up: false`). */
export interface RedisEvent {
  readonly up: boolean
  readonly reason: string
}

/** `stop()` was called, on the worker of this id. */
export interface StopEvent {
  readonly worker: string
}

export interface CacheEvents {
  hit: [HitEvent]
  miss: [MissEvent]
  store: [StoreEvent]
  bypass: [BypassEvent]
  invalidate: [InvalidateEvent]
  evict: [EvictEvent]
  stale: [HitEvent]
  error: [TierError]
  redis: [RedisEvent]
  stop: [StopEvent]
}

export type CacheEventName = keyof CacheEvents

/** An emitter that throws nothing into its caller: a listener's error becomes an `uncaughtException` of its own, as with any timer. */
export class Events {
  readonly #emitter = new EventEmitter()
  readonly #listening: Record<string, number> = Object.create(null)

  constructor() {
    this.#emitter.setMaxListeners(0)
  }

  /** True when somebody listens: check it before building an event on a hot path. */
  has(name: CacheEventName): boolean {
    return (this.#listening[name] ?? 0) > 0
  }

  on<N extends CacheEventName>(name: N, listener: (...args: CacheEvents[N]) => void): void {
    this.#emitter.on(name, listener as (...args: unknown[]) => void)
    this.#recount(name)
  }

  off<N extends CacheEventName>(name: N, listener: (...args: CacheEvents[N]) => void): void {
    this.#emitter.off(name, listener as (...args: unknown[]) => void)
    this.#recount(name)
  }

  emit<N extends CacheEventName>(name: N, ...args: CacheEvents[N]): void {
    if (!this.has(name)) return
    try {
      this.#emitter.emit(name, ...args)
    } catch (err) {
      queueMicrotask(() => {
        throw err
      })
    }
  }

  #recount(name: CacheEventName): void {
    this.#listening[name] = this.#emitter.listenerCount(name)
  }
}
