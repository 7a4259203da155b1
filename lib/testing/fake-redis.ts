/*
 * A Redis in this process, for tests of applications: several caches with a client each share its keys and its bus, as workers
 * do. It behaves as a real one in what the cache uses (one contract suite runs against both), and it can be made to misbehave.
 */
import { type Clock, systemClock } from '../cache/tiers.ts'
import { checkNames } from '../check.ts'
import { Bus, type FakeBus } from './fake-bus.ts'
import { type FakeClientOptions, FakeRedisClient, type FakeServer } from './fake-client.ts'
import { FakeStore } from './fake-store.ts'

export interface FakeRedisOptions {
  /** Of expiry and of epochs. Default: the system's; give it the caches' where they have one of their own. */
  readonly clock?: Clock | undefined
}

export interface FakeRedis {
  /** A new client; give each cache one of its own. */
  client(options?: FakeClientOptions): FakeRedisClient
  readonly bus: FakeBus
  /** From now on nothing is answered; connections stay open. */
  freeze(): void
  /** What was asked meanwhile is answered now. */
  thaw(): void
  /** Ends every connection, and takes none until `start`. */
  stop(): void
  /** Takes connections again. `empty: true`: with nothing of what it held. */
  start(options?: { readonly empty?: boolean }): void
  /** Forgets every key, as an eviction or FLUSHALL would. */
  flush(): void
  /** The keys of a database, sorted. Default 0. */
  keys(db?: number): string[]
}

/**
 * A fake Redis.
 * @throws OptionError
 */
export function createFakeRedis(options: FakeRedisOptions = {}): FakeRedis {
  checkNames('', options, ['clock'])
  const { clock = systemClock } = options
  const stores = new Map<number, FakeStore>()
  let isRunning = true
  let isFrozen = false
  let waiting: (() => void)[] = []

  const server: FakeServer = {
    bus: new Bus(clock),
    get isRunning() {
      return isRunning
    },
    get isFrozen() {
      return isFrozen
    },
    changed: () => new Promise((resolve) => waiting.push(resolve)),
    store(db) {
      const store = stores.get(db) ?? new FakeStore(clock)
      stores.set(db, store)
      return store
    },
    nowUs: () => Math.floor(clock.now() * 1000),
    clients: new Set(),
  }

  function change(to: { isRunning?: boolean; isFrozen?: boolean }): void {
    isRunning = to.isRunning ?? isRunning
    isFrozen = to.isFrozen ?? isFrozen
    const resolves = waiting
    waiting = []
    for (const resolve of resolves) resolve()
  }

  const flush = (): void => {
    for (const store of stores.values()) store.clear()
  }

  return {
    client: (clientOptions = {}) => new FakeRedisClient(server, clientOptions),
    bus: server.bus,
    freeze: () => change({ isFrozen: true }),
    thaw: () => change({ isFrozen: false }),
    stop() {
      change({ isRunning: false })
      for (const client of [...server.clients]) client.drop()
    },
    start({ empty = false } = {}) {
      if (empty) flush()
      change({ isRunning: true })
    },
    flush,
    keys: (db = 0) => server.store(db).keys(),
  }
}
