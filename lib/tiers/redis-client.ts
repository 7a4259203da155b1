/*
 * The few methods that we call of an ioredis (5, 6) or iovalkey client, so that the package compiles without one
 * (set-in-parts.ts knows of one more).
 * test/unit/redis-client.test-d.ts checks these types against the real clients.
 */

/** A `Redis` or a `Cluster`. */
export interface RedisClient {
  readonly status: string
  readonly isCluster?: boolean
  readonly options: object
  /** The connection, while there is one. */
  readonly stream?: { cork(): void; uncork(): void } | undefined
  connect(): Promise<unknown>
  disconnect(reconnect?: boolean): void
  duplicate(...args: never[]): unknown
  defineCommand(name: string, definition: { numberOfKeys?: number; lua: string; readOnly?: boolean }): void
  ping(): Promise<string>
  on(event: string, listener: (...args: unknown[]) => void): unknown
  off(event: string, listener: (...args: unknown[]) => void): unknown
}

/** The commands, as promises. Apart, since ioredis' overloads do not reduce to an interface that a caller could satisfy. */
export interface RedisCommands {
  set(key: string, value: Buffer | string, px: 'PX', ms: number): Promise<unknown>
  set(key: string, value: Buffer | string, px: 'PX', ms: number, nx: 'NX'): Promise<unknown>
  pttl(key: string): Promise<number>
  mgetBuffer(...keys: string[]): Promise<(Buffer | null)[]>
  mget(...keys: string[]): Promise<(string | null)[]>
  exists(...keys: string[]): Promise<number>
  unlink(...keys: string[]): Promise<number>
  del(key: string): Promise<number>
  zrange(key: string, first: number, last: number): Promise<string[]>
  zrem(key: string, ...members: string[]): Promise<number>
  scan(cursor: string, match: 'MATCH', pattern: string, count: 'COUNT', size: number): Promise<[string, string[]]>
  ping(): Promise<string>
  subscribe(channel: string): Promise<unknown>
  disconnect(reconnect?: boolean): void
  connect(): Promise<unknown>
  duplicate(override: object): RedisClient
  nodes(role: 'master'): RedisClient[]
}

/** The scripts, as `defineCommand` puts them on a client. */
export interface RedisScripts {
  registryCacheRaise(key: string, ...args: (string | number)[]): Promise<unknown>
  registryCacheRaiseUnlessChanged(key: string, ...args: (string | number)[]): Promise<unknown>
  registryCacheDrop(key: string, ...args: (string | number)[]): Promise<unknown>
  registryCacheOpen(key: string, ...args: (string | number)[]): Promise<unknown>
  registryCacheReveal(key: string, ...args: (string | number)[]): Promise<unknown>
  registryCacheFetchBuffer(key: string): Promise<unknown>
  registryCacheUnlock(key: string, token: string): Promise<unknown>
  registryCacheBeat(key: string, seconds: number, ...fields: (string | number)[]): Promise<unknown>
  registryCacheJoin(key: string, workerId: string, seconds: number): Promise<unknown>
  registryCacheLook(key: string): Promise<unknown>
}

export type Commands = Omit<RedisClient, keyof RedisCommands> & RedisCommands & RedisScripts

/**
 * What is written before control goes back to the event loop leaves by one write: a write of its own costs as much as all the
 * rest of a small command (bench/questions/miss.js), and several wait for each other on a connection without `noDelay`.
 */
export function corkForThisTurn(stream: { cork(): void; uncork(): void; readonly writableCorked?: number }): void {
  if ((stream.writableCorked ?? 0) > 0) return
  stream.cork()
  process.nextTick(() => stream.uncork())
}

/** Why a value is no client that we can use, or undefined. */
export function notAClient(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'it is no object'
  const client = value as Record<string, unknown>
  for (const method of ['defineCommand', 'duplicate', 'on', 'off', 'connect', 'disconnect', 'ping']) {
    if (typeof client[method] !== 'function') return `it has no method ${method}()`
  }
  return typeof client.status === 'string' ? undefined : 'it has no status'
}
