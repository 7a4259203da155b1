/*
 * A client of a fake Redis: as much of ioredis as the cache uses, with its states, events and promises. Commands wait while
 * there is no connection, as in ioredis' offline queue, and while the server is frozen.
 */
import { EventEmitter } from 'node:events'
import type { RedisClient } from '../tiers/redis-client.ts'
import type { Bus } from './fake-bus.ts'
import { FAKE_SCRIPTS, type ScriptContext } from './fake-scripts.ts'
import type { FakeStore } from './fake-store.ts'

export interface FakeClientOptions {
  /** Put before every key, as by ioredis. */
  readonly keyPrefix?: string
  /** Number of the database. Default 0. */
  readonly db?: number
  /** Connects at its first use. */
  readonly lazyConnect?: boolean
}

/** What clients know of their server. */
export interface FakeServer {
  readonly bus: Bus
  readonly isRunning: boolean
  readonly isFrozen: boolean
  /** Resolves when it was started, stopped, frozen or thawed. */
  changed(): Promise<void>
  store(db: number): FakeStore
  nowUs(): number
  clients: Set<FakeRedisClient>
}

type Reply = Promise<unknown>

/** A client as `createRegistryCache({ redis })` takes it, and a few commands for tests. */
export class FakeRedisClient extends EventEmitter implements RedisClient {
  readonly isCluster = false
  readonly options: FakeClientOptions
  status: 'wait' | 'connecting' | 'ready' | 'close' | 'reconnecting' | 'end'
  readonly #server: FakeServer
  readonly #prefix: string
  readonly #listener: { drop(): void; hear(channel: string, message: string): void }
  #onChange: (() => void)[] = []

  constructor(server: FakeServer, options: FakeClientOptions) {
    super()
    this.setMaxListeners(0)
    this.options = { keyPrefix: '', db: 0, ...options }
    this.#server = server
    this.#prefix = options.keyPrefix ?? ''
    this.#listener = {
      drop: () => this.drop(),
      hear: (channel, message) => void this.emit('message', channel, message),
    }
    server.clients.add(this)
    this.status = 'wait'
    if (options.lazyConnect !== true) this.connect().catch(nothing)
  }

  // --- connection -----------------------------------------------------------------------------------------------

  /** Rejects when the server cannot be reached; goes on trying all the same. */
  async connect(): Promise<void> {
    if (this.status !== 'wait' && this.status !== 'end') throw new Error('Redis is already connecting/connected')
    this.#server.clients.add(this)
    this.#enter('connecting')
    await null
    if (this.#is('end')) throw new Error(CLOSED)
    if (this.#server.isRunning) {
      this.#enter('ready')
      this.emit('ready')
      return
    }
    this.drop()
    throw new Error(CLOSED)
  }

  /** Its connection is lost, by no wish of its own: it tries again. */
  drop(): void {
    if (this.status === 'end' || this.status === 'wait') return
    this.#server.bus.forget(this.#listener)
    this.#enter('close')
    this.emit('close')
    if (this.#is('end')) return
    this.#enter('reconnecting')
    this.emit('reconnecting')
    void this.#reconnect()
  }

  async #reconnect(): Promise<void> {
    await null
    while (!this.#server.isRunning && this.#is('reconnecting')) await this.#server.changed()
    if (!this.#is('reconnecting')) return
    this.#enter('ready')
    this.emit('ready')
  }

  disconnect(): void {
    if (this.status === 'end') return
    this.#server.bus.forget(this.#listener)
    this.#server.clients.delete(this)
    this.#enter('end')
    queueMicrotask(() => {
      this.emit('close')
      this.emit('end')
    })
  }

  async quit(): Promise<'OK'> {
    this.disconnect()
    return 'OK'
  }

  duplicate(override: FakeClientOptions = {}): FakeRedisClient {
    const { keyPrefix = this.#prefix, db = this.options.db ?? 0, lazyConnect = this.options.lazyConnect } = override
    return new FakeRedisClient(this.#server, { keyPrefix, db, lazyConnect: lazyConnect === true })
  }

  /** Apart from the property, whose type the compiler believes to know after an assignment. */
  #is(status: string): boolean {
    return this.status === status
  }

  #enter(status: FakeRedisClient['status']): void {
    this.status = status
    for (const resolve of this.#onChange.splice(0)) resolve()
  }

  // --- commands -------------------------------------------------------------------------------------------------

  ping(): Promise<string> {
    return this.#send(() => 'PONG')
  }

  get(key: string): Promise<string | null> {
    return this.#send((store) => toText(store.get(this.#prefix + key)) as string | null)
  }

  /** `px`, a number and `nx` as ioredis takes them; any other option throws. */
  set(key: string, value: Buffer | string, px?: 'PX', ms?: number, nx?: 'NX'): Promise<'OK' | null> {
    if ((px !== undefined && px !== 'PX') || (nx !== undefined && nx !== 'NX')) {
      throw new TypeError('the fake Redis knows SET with PX and NX only')
    }
    return this.#send((store) => {
      if (nx === 'NX' && store.has(this.#prefix + key)) return null
      store.set(this.#prefix + key, value, ms)
      return 'OK'
    })
  }

  mget(...keys: string[]): Promise<(string | null)[]> {
    return this.#send((store) => keys.map((key) => toText(store.string(this.#prefix + key)) as string | null))
  }

  mgetBuffer(...keys: string[]): Promise<(Buffer | null)[]> {
    return this.#send((store) => keys.map((key) => store.get(this.#prefix + key)))
  }

  exists(...keys: string[]): Promise<number> {
    return this.#send((store) => keys.filter((key) => store.has(this.#prefix + key)).length)
  }

  unlink(...keys: string[]): Promise<number> {
    return this.#send((store) => keys.filter((key) => store.delete(this.#prefix + key)).length)
  }

  del(...keys: string[]): Promise<number> {
    return this.unlink(...keys)
  }

  /** By score, then by name. Indices as in Redis: -1 is the last. */
  zrange(key: string, first: number, last: number): Promise<string[]> {
    return this.#send((store) => {
      const name = this.#prefix + key
      const members = store.has(name) ? [...store.map(name)] : []
      members.sort(([a, scoreA], [b, scoreB]) => Number(scoreA) - Number(scoreB) || (a < b ? -1 : 1))
      const at = (index: number): number => (index < 0 ? Math.max(0, members.length + index) : index)
      return members.slice(at(first), last < 0 ? members.length + last + 1 : last + 1).map(([member]) => member)
    })
  }

  zrem(key: string, ...members: string[]): Promise<number> {
    return this.#send((store) => {
      const name = this.#prefix + key
      return store.has(name) ? members.filter((member) => store.map(name).delete(member)).length : 0
    })
  }

  /** Milliseconds. */
  pttl(key: string): Promise<number> {
    return this.#send((store) => store.pttl(this.#prefix + key))
  }

  /** All at once, whatever COUNT says. The pattern knows `*` and `\`, as the cache writes it. */
  scan(_cursor: string, _match: 'MATCH', pattern: string, ..._count: unknown[]): Promise<[string, string[]]> {
    const source = pattern.replace(/\\(.)|([\s\S])/g, (_all, escaped: string | undefined, plain: string) =>
      escaped === undefined && plain === '*' ? '[\\s\\S]*' : (escaped ?? plain).replace(/[.*+?^${}()|[\]\\]/g, '\\$&'),
    )
    const matches = new RegExp(`^${source}$`)
    return this.#send((store) => ['0', store.keys().filter((key) => matches.test(key))])
  }

  flushall(): Promise<'OK'> {
    return this.#send((store) => {
      store.clear()
      return 'OK'
    })
  }

  publish(channel: string, message: string): Promise<number> {
    return this.#send(() => this.#server.bus.publish(channel, [message]))
  }

  /** Messages come as `message` events with the channel and the text. */
  async subscribe(channel: string): Promise<number> {
    await this.#server.bus.connected()
    return await this.#send(() => {
      this.#server.bus.subscribe(this.#listener, channel)
      return 1
    })
  }

  /** Runs no Lua: it knows the cache's scripts by their names. Throws for any other. */
  defineCommand(name: string, _definition: { readonly lua: string; readonly numberOfKeys?: number }): void {
    const script = FAKE_SCRIPTS[name]
    if (!script) throw new Error(`the fake Redis has no script ${name}`)
    const run = (key: string, ...args: (string | number | Buffer)[]): Reply =>
      this.#send((store) => {
        const { bus } = this.#server
        const publish = (channel: string, messages: readonly string[]): void => void bus.publish(channel, messages)
        const context: ScriptContext = { store, nowUs: () => this.#server.nowUs(), publish }
        return script(context, this.#prefix + key, args.map(String))
      })
    Object.assign(this, {
      [`${name}Buffer`]: run,
      [name]: (...args: Parameters<typeof run>) => run(...args).then(toText),
    })
  }

  /** One command, its way there and back: it waits for the connection and for a server that answers. */
  async #send<T>(run: (store: FakeStore) => T): Promise<T> {
    if (this.status === 'wait') this.connect().catch(nothing)
    await null
    while (this.status !== 'ready' || this.#server.isFrozen) {
      if (this.status === 'end') throw new Error(CLOSED)
      await Promise.race([this.#changed(), this.#server.changed()])
    }
    return run(this.#server.store(this.options.db ?? 0))
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve))
  }
}

const CLOSED = 'Connection is closed.'
const nothing = (): void => {}

function toText(reply: unknown): unknown {
  if (Array.isArray(reply)) return reply.map(toText)
  return Buffer.isBuffer(reply) ? reply.toString('utf8') : reply
}
