/*
 * Options as users write them (seconds) and as the code uses them (milliseconds, complete, frozen). Each is checked once,
 * when it is given; the defaults stand here and nowhere else.
 */
import { isType } from './cache/names.ts'
import { type Clock, systemClock } from './cache/tiers.ts'
import { checkBoolean, checkList, checkNames, checkNumber, checkOneOf, isString, type NumberRange } from './check.ts'
import { OptionError } from './errors.ts'
import { notAClient, type RedisClient } from './tiers/redis-client.ts'

/** What is known of a type. TTL and staleness in seconds. */
export interface TypeOptions {
  /** Seconds that its entries stay fresh; above 0. */
  readonly ttl?: number
  /** Types whose invalidation invalidates this one too, transitively. */
  readonly dependsOn?: readonly string[]
  /** As the cache's, for this type. */
  readonly maxStaleness?: number
}

/** Bounds of L1. Over one of them the type that holds most bytes gives up its least recently used entry. */
export interface MemoryOptions {
  /** Bytes of everything kept. Default 64 MiB. */
  readonly maxBytes?: number
  /** Bytes of one body. Default 1 MiB. */
  readonly maxEntryBytes?: number
  /** Default 10,000. */
  readonly maxEntries?: number
}

/** `console` and pino fit. */
export interface Logger {
  debug(message: string, ...details: unknown[]): void
  info(message: string, ...details: unknown[]): void
  warn(message: string, ...details: unknown[]): void
  error(message: string, ...details: unknown[]): void
}

export interface RegistryCacheOptions {
  /** An ioredis (5, 6) `Redis` or `Cluster`, or an iovalkey client; the caller closes it. Without: memory only. */
  readonly redis?: RedisClient | undefined
  /** Default true. False: middlewares call `next()`, `get` misses, `set` stores nothing; invalidation works. */
  readonly enabled?: boolean | undefined
  /** Of every key and channel, taken literally. Default `mcpgw:`. */
  readonly prefix?: string | undefined
  /** Merged over the built-in types, field by field; a number is a TTL in seconds. */
  readonly types?: Readonly<Record<string, number | TypeOptions>> | undefined
  /** Seconds, for types not listed. Default 20. */
  readonly defaultTtl?: number | undefined
  readonly memory?: MemoryOptions | undefined
  /** Seconds that an epoch is believed without word from Redis. Default 5; 0 is strong mode. */
  readonly maxStaleness?: number | undefined
  /** Default `serve-memory`; in strong mode always `bypass`. */
  readonly whenRedisIsDown?: 'serve-memory' | 'bypass' | undefined
  /** Seconds that one request waits for Redis, all round trips together. Default 0.25. */
  readonly redisTimeout?: number | undefined
  /** After `failures` in a row (default 3) Redis is left alone and probed every `probeEvery` seconds (default 1). */
  readonly breaker?: { readonly failures?: number; readonly probeEvery?: number } | undefined
  /** Default false. True: after an invalidation also remove the plain keys that the older system's workers stored. */
  readonly sweepForeignKeys?: boolean | undefined
  /** Seconds of the fleet-wide single flight's lock. Default 5; 0 turns it off. */
  readonly lockTtl?: number | undefined
  /** `Cache-Status` and `X-Cache`. Default true. */
  readonly headers?: boolean | undefined
  /** Default: warnings go to `process.emitWarning` with their code. */
  readonly logger?: Logger | undefined
  /** Codes of warnings that are not wanted. */
  readonly silence?: readonly string[] | undefined
  /** Default: the system's. */
  readonly clock?: Clock | undefined
}

export interface ResolvedType {
  readonly ttlMs: number
  readonly dependsOn: readonly string[]
  readonly maxStalenessMs: number
}

export interface ResolvedOptions {
  readonly redis: RedisClient | undefined
  readonly enabled: boolean
  readonly prefix: string
  readonly types: ReadonlyMap<string, ResolvedType>
  readonly defaultTtlMs: number
  readonly memory: Readonly<Required<MemoryOptions>>
  readonly maxStalenessMs: number
  readonly whenRedisIsDown: 'serve-memory' | 'bypass'
  readonly redisTimeoutMs: number
  readonly breaker: { readonly failures: number; readonly probeEveryMs: number }
  readonly sweepForeignKeys: boolean
  readonly lockTtlMs: number
  readonly headers: boolean
  readonly logger: Logger | undefined
  readonly silence: ReadonlySet<string>
  readonly clock: Clock
}

/** Seconds and dependencies of the built-in types. */
export const BUILT_IN_TYPES: Readonly<Record<string, { readonly ttl: number; readonly dependsOn: readonly string[] }>> =
  {
    tools: { ttl: 20, dependsOn: ['gateways', 'agents'] },
    prompts: { ttl: 15, dependsOn: ['gateways'] },
    resources: { ttl: 15, dependsOn: ['gateways'] },
    agents: { ttl: 20, dependsOn: [] },
    servers: { ttl: 20, dependsOn: ['tools', 'prompts', 'resources', 'agents', 'gateways'] },
    gateways: { ttl: 20, dependsOn: ['catalog'] },
    catalog: { ttl: 300, dependsOn: ['gateways'] },
  }

/** 10 years: what Redis bears, and longer than anybody means. */
export const MAX_SECONDS = 315_360_000
export const TTL: NumberRange = { min: 0, above: true, max: MAX_SECONDS, unit: 'seconds' }
/** 24 days: the longest that Node's timers bear. */
export const TIMER: NumberRange = { min: 0, max: 2_147_483, unit: 'seconds' }
/**
 * Whether so many seconds were likely meant as milliseconds: 5000, 30000, 60000. Whole hours up to a week, and whole minutes below
 * 10000, are what people mean by seconds.
 */
export function looksLikeMilliseconds(seconds: number): boolean {
  const isNatural = (seconds % 3600 === 0 && seconds <= 604_800) || (seconds % 60 === 0 && seconds < 10_000)
  return seconds >= 5000 && seconds % 1000 === 0 && !isNatural
}

export const SECONDS: NumberRange = { min: 0, max: MAX_SECONDS, unit: 'seconds' }
const MIB = 1024 * 1024

const NAMES = [
  'redis',
  'enabled',
  'prefix',
  'types',
  'defaultTtl',
  'memory',
  'maxStaleness',
  'whenRedisIsDown',
  'redisTimeout',
  'breaker',
  'sweepForeignKeys',
  'lockTtl',
  'headers',
  'logger',
  'silence',
  'clock',
] as const satisfies readonly (keyof RegistryCacheOptions)[]

/** Checks everything, once. Throws OptionError. */
export function resolveOptions(options: RegistryCacheOptions = {}): ResolvedOptions {
  checkNames('', options, NAMES)
  // Defaults of destructuring: undefined means omitted, null is a bad value.
  const { types = {}, memory = {}, breaker: givenBreaker = {}, silence = [] } = options
  const maxStaleness = checkNumber('maxStaleness', options.maxStaleness, SECONDS, 5)
  const defaultTtl = checkNumber('defaultTtl', options.defaultTtl, TTL, 20)
  const breaker = checkNames('breaker', givenBreaker, ['failures', 'probeEvery'])
  return Object.freeze({
    redis: checkRedis(options.redis),
    enabled: checkBoolean('enabled', options.enabled, true),
    prefix: checkPrefix(options.prefix),
    types: resolveTypes(types, defaultTtl, maxStaleness),
    defaultTtlMs: defaultTtl * 1000,
    memory: resolveMemory(memory),
    maxStalenessMs: maxStaleness * 1000,
    whenRedisIsDown: checkOneOf(
      'whenRedisIsDown',
      options.whenRedisIsDown,
      ['serve-memory', 'bypass'] as const,
      'serve-memory',
    ),
    redisTimeoutMs: checkNumber('redisTimeout', options.redisTimeout, { ...TTL, max: 60 }, 0.25) * 1000,
    breaker: Object.freeze({
      failures: checkNumber('breaker.failures', breaker.failures, { min: 1, integer: true }, 3),
      probeEveryMs: checkNumber('breaker.probeEvery', breaker.probeEvery, { ...TTL, max: 3600 }, 1) * 1000,
    }),
    sweepForeignKeys: checkBoolean('sweepForeignKeys', options.sweepForeignKeys, false),
    lockTtlMs: checkNumber('lockTtl', options.lockTtl, { ...SECONDS, max: 3600 }, 5) * 1000,
    headers: checkBoolean('headers', options.headers, true),
    logger: checkMethods('logger', options.logger, ['debug', 'info', 'warn', 'error']),
    silence: new Set(checkList('silence', silence, isString, 'codes')),
    clock: checkMethods('clock', options.clock, ['now', 'monotonic', 'setTimeout', 'clearTimeout']) ?? systemClock,
  })
}

function checkRedis(redis: RedisClient | undefined): RedisClient | undefined {
  if (redis === undefined) return undefined
  const why = notAClient(redis)
  if (why === undefined) return redis
  throw new OptionError(
    'ERR_OPTION_REDIS',
    'redis',
    // A URL, most often, and it may hold a password: it is not repeated.
    typeof redis === 'string' ? '(hidden)' : redis,
    `an ioredis Redis or Cluster, or an iovalkey client, as new Redis(url) makes them (${why})`,
  )
}

function checkPrefix(prefix: unknown): string {
  if (prefix === undefined) return 'mcpgw:'
  if (typeof prefix !== 'string') throw new OptionError('ERR_OPTION_TYPE', 'prefix', prefix, 'a string')
  return prefix
}

function checkMethods<T extends object>(option: string, value: T | undefined, names: (keyof T)[]): T | undefined {
  if (value === undefined) return undefined
  for (const name of names) {
    if (value === null || typeof value[name] !== 'function') {
      throw new OptionError('ERR_OPTION_TYPE', option, value, `an object with the methods ${names.join(', ')}`)
    }
  }
  return value
}

function resolveMemory(memory: MemoryOptions): Readonly<Required<MemoryOptions>> {
  checkNames('memory', memory, ['maxBytes', 'maxEntryBytes', 'maxEntries'])
  const count = { min: 1, integer: true }
  const maxBytes = checkNumber('memory.maxBytes', memory.maxBytes, { ...count, unit: 'bytes' }, 64 * MIB)
  const fallback = Math.min(MIB, maxBytes)
  const maxEntryBytes = checkNumber('memory.maxEntryBytes', memory.maxEntryBytes, { ...count, unit: 'bytes' }, fallback)
  if (maxEntryBytes > maxBytes) {
    throw new OptionError(
      'ERR_OPTION_CONFLICT',
      'memory.maxEntryBytes',
      maxEntryBytes,
      `at most maxBytes (${maxBytes})`,
    )
  }
  return Object.freeze({
    maxBytes,
    maxEntryBytes,
    maxEntries: checkNumber('memory.maxEntries', memory.maxEntries, count, 10_000),
  })
}

function resolveTypes(
  types: Readonly<Record<string, number | TypeOptions>>,
  defaultTtl: number,
  maxStaleness: number,
): Map<string, ResolvedType> {
  checkNames('types', types, Object.keys(types ?? {}))
  const resolved = new Map<string, ResolvedType>()
  for (const name of new Set([...Object.keys(BUILT_IN_TYPES), ...Object.keys(types)])) {
    if (!isType(name)) throw new OptionError('ERR_TYPE_NAME', `types.${name}`, name, TYPE_NAME)
    resolved.set(name, resolveType(name, types[name], defaultTtl, maxStaleness))
  }
  return resolved
}

export const TYPE_NAME = 'a type of 1 to 64 characters A-Z a-z 0-9 _ . -'

function resolveType(
  name: string,
  given: number | TypeOptions | undefined,
  defaultTtl: number,
  maxStaleness: number,
): ResolvedType {
  const option = `types.${name}`
  const builtIn = BUILT_IN_TYPES[name]
  const fields: TypeOptions = typeof given === 'number' ? { ttl: given } : given === undefined ? {} : given
  checkNames(option, fields, ['ttl', 'dependsOn', 'maxStaleness'])
  const at = typeof given === 'number' ? option : `${option}.ttl`
  const isTypeName = (item: unknown): item is string => isType(item)
  const dependsOn = fields.dependsOn ?? builtIn?.dependsOn ?? []
  return Object.freeze({
    ttlMs: checkNumber(at, fields.ttl, TTL, builtIn?.ttl ?? defaultTtl) * 1000,
    dependsOn: checkList(`${option}.dependsOn`, dependsOn, isTypeName, TYPE_NAME, 'ERR_TYPE_NAME'),
    maxStalenessMs: checkNumber(`${option}.maxStaleness`, fields.maxStaleness, SECONDS, maxStaleness) * 1000,
  })
}

/** For each type, the types that depend on it: all of them, the type itself left out. A cycle is fine. */
export function dependents(types: ReadonlyMap<string, ResolvedType>): (type: string) => readonly string[] {
  const direct = new Map<string, string[]>()
  for (const [type, { dependsOn }] of types) {
    for (const cause of dependsOn) direct.set(cause, [...(direct.get(cause) ?? []), type])
  }
  const all = new Map<string, readonly string[]>()
  for (const type of direct.keys()) {
    const reached = new Set([type])
    for (const one of reached) for (const next of direct.get(one) ?? []) reached.add(next)
    reached.delete(type)
    all.set(type, Object.freeze([...reached]))
  }
  return (type) => all.get(type) ?? []
}
