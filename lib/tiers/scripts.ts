/*
 * The Lua scripts: one key each, so they run on Redis Cluster, Sentinel and Valkey as they are. Numbers are formatted
 * with string.format('%.0f'): Lua's `..` keeps 14 digits, and epochs are microseconds since 1970.
 */
import type { RedisClient } from './redis-client.ts'

const CLOCK = `local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
`

const CURRENT = `local got = redis.pcall('GET', KEYS[1])
local current = type(got) == 'string' and tonumber(got) or 0
`

/**
 * The greatest of: the current epoch plus a random step, the caller's floor plus that step, the clock. Ordered, so the
 * greater of two is the later; clock-based, so none returns after the key was lost; the step, so that two raises on a
 * slow clock never give one number.
 */
const WRITE = `local epoch = string.format('%.0f', math.max(current + step, floor + step, now))
redis.call('SET', KEYS[1], epoch, 'EX', ARGV[3])
`

const PUBLISH = `redis.call('PUBLISH', ARGV[4], 'epoch ' .. epoch .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
redis.call('PUBLISH', ARGV[4], ARGV[7])
return epoch`

/** ARGV: floor, step, seconds to live, channel, space, `worker cause tag`, tag. */
const ARGUMENTS = `local floor, step = tonumber(ARGV[1]), tonumber(ARGV[2])
`

const SCRIPTS = {
  registryCacheRaise: `${ARGUMENTS}${CLOCK}${CURRENT}${WRITE}${PUBLISH}`,

  /** As raise, unless another worker already raised it: ARGV[8] is the epoch that the caller knew (0: none). */
  registryCacheRaiseUnlessChanged: `${ARGUMENTS}${CLOCK}${CURRENT}
local known = tonumber(ARGV[8])
if known > 0 and current > known then return string.format('%.0f', current) end
${WRITE}${PUBLISH}`,

  /** For a Redis that refuses writes: without its key the tag's epoch is lost, and losing it is safe. */
  registryCacheDrop: `${ARGUMENTS}${CLOCK}
redis.call('DEL', KEYS[1])
local epoch = string.format('%.0f', math.max(floor + step, now))
${PUBLISH}`,

  /** The epoch; the clock where there is none. ARGV: seconds to live. Past half of them they are renewed. */
  registryCacheOpen: `local got = redis.call('GET', KEYS[1])
if got and string.find(got, '^%d+$') then
  if redis.call('TTL', KEYS[1]) < tonumber(ARGV[1]) / 2 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
  return got
end
${CLOCK}local epoch = string.format('%.0f', now)
redis.call('SET', KEYS[1], epoch, 'EX', ARGV[1])
return epoch`,

  /** ARGV: seconds to live, microseconds since the miss began. Returns the epoch, the clock, whether it was made now. */
  registryCacheReveal: `local got = redis.call('GET', KEYS[1])
${CLOCK}if got and string.find(got, '^%d+$') then return {got, string.format('%.0f', now), 0} end
local epoch = string.format('%.0f', now - tonumber(ARGV[2]) - 1)
redis.call('SET', KEYS[1], epoch, 'EX', ARGV[1])
return {epoch, string.format('%.0f', now), 1}`,

  /** PTTL and value of one moment. What is no string is no entry. */
  registryCacheFetch: `local got = redis.pcall('GET', KEYS[1])
return {redis.call('PTTL', KEYS[1]), type(got) == 'string' and got}`,

  /** ARGV: seconds to live, then names and values. One step, so that no hash is left without an end. */
  registryCacheBeat: `redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('EXPIRE', KEYS[1], ARGV[1])`,

  /** ARGV: the worker's id, seconds to live. Those who have not joined for so long are dropped, by the server's clock. */
  registryCacheJoin: `${CLOCK}redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - tonumber(ARGV[2]) * 1000000))
return redis.call('EXPIRE', KEYS[1], ARGV[2])`,

  /** What is left of a worker's life, and what it said, of one moment: as a flat list, whichever protocol the client speaks. */
  registryCacheLook: `return {redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[1])}`,

  registryCacheUnlock: `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`,
} as const

export function defineScripts(client: RedisClient): void {
  for (const [name, lua] of Object.entries(SCRIPTS)) client.defineCommand(name, { numberOfKeys: 1, lua })
}
