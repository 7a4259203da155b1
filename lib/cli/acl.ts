/*
 * The least that a Redis user needs to be a worker's, as the ACL line of docs/redis-schema.md.
 */

export const COMMANDS = [
  'ping',
  'info',
  'get',
  'mget',
  'set',
  'del',
  'exists',
  'pttl',
  'ttl',
  'expire',
  'time',
  'eval',
  'evalsha',
  'publish',
  'subscribe',
] as const

/** For heartbeats. A worker without them works, but no dashboard and no `stats` shows it. */
export const FLEET_COMMANDS = ['hset', 'hgetall', 'zadd', 'zrange', 'zrem', 'zremrangebyscore'] as const

export interface Place {
  readonly prefix: string
  /** The client's own, which comes before the prefix of keys, but not of channels. */
  readonly keyPrefix: string
  readonly database: number
}

/** For redis-cli. PASSWORD is for the operator to replace. */
export function aclLine({ prefix, keyPrefix, database }: Place): string {
  const keys = pattern(keyPrefix + prefix)
  const commands = [...COMMANDS, ...FLEET_COMMANDS, ...(database === 0 ? [] : ['select'])].map((name) => `+${name}`)
  return [
    'ACL SETUSER registry-cache on >PASSWORD resetkeys resetchannels',
    `~${keys}registry:* ~${keys}*:@epoch ~${keys}@worker:* ~${keys}@workers &${pattern(prefix)}cache:invalidate`,
    `-@all ${commands.join(' ')}`,
  ].join(' ')
}

/** Literal text as a pattern. Patterns hold no blanks, and redis-cli takes quotes for its own: any character will do there. */
function pattern(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&').replace(/[\s"'\p{Cc}]/gu, '?')
}
