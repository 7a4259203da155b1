/*
 * Mistakes that can be seen in a Redis client as it was given: each is a warning that says what to do.
 */
import type { ErrorCode } from './errors.ts'
import type { RedisClient } from './tiers/redis-client.ts'

type Warn = (code: ErrorCode, message: string, subject: string) => void

const SUBSCRIBER_MODE = /subscriber mode|allowed in this context/i

/** `failure` is what the client said of a command. */
export function checkMode(client: RedisClient, warn: Warn, failure = ''): void {
  const { mode } = client as { readonly mode?: unknown }
  if (mode !== 'subscriber' && mode !== 'monitor' && !SUBSCRIBER_MODE.test(failure)) return
  const cure = 'subscribe on a client of its own: redis.duplicate()'
  warn(
    'ERR_REDIS_SUBSCRIBER_MODE',
    `the Redis client was used for ${mode === 'monitor' ? 'MONITOR' : 'SUBSCRIBE'}, so it takes no other command: ${cure}`,
    '',
  )
}

export function checkClient(client: RedisClient, warn: Warn): void {
  checkMode(client, warn)
  checkDeadlines(client, warn)
}

export function warnUnreachable(client: RedisClient, reason: string, warn: Warn): void {
  warn(
    'ERR_REDIS_UNREACHABLE',
    `${addressOf(client)} was never reached so far (${reason}): requests are answered without it, and other workers do not ` +
      'hear of invalidations. Check the address, the password and whether it runs; it is tried again and again',
    '',
  )
}

/** Nobody who asks this cache waits for it, but what was given up on stays in the client. */
function checkDeadlines(client: RedisClient, warn: Warn): void {
  if (client.isCluster === true) return
  const { enableOfflineQueue, maxRetriesPerRequest, commandTimeout } = client.options as Record<string, unknown>
  const isEndless = maxRetriesPerRequest === null && !(Number(commandTimeout) > 0)
  if (enableOfflineQueue === false || !isEndless) return
  warn(
    'ERR_REDIS_NO_DEADLINE',
    'the Redis client keeps commands for as long as Redis is away (maxRetriesPerRequest: null, no commandTimeout), and sends ' +
      'them when nobody waits for them any more: give the cache a client of its own with the default maxRetriesPerRequest, ' +
      'or with a commandTimeout',
    '',
  )
}

/** Without user and password. */
function addressOf(client: RedisClient): string {
  if (client.isCluster === true) return 'the Redis Cluster'
  const { host, port, path, sentinels, name } = client.options as Record<string, unknown>
  // The client has a host and a port beside them, which it does not use.
  if (Array.isArray(sentinels)) {
    const addresses = sentinels.map((one: { host?: unknown; port?: unknown }) => `${one.host}:${one.port ?? 26_379}`)
    return `Redis ${String(name)} of the Sentinels ${addresses.join(', ')}`
  }
  if (typeof path === 'string') return `Redis at ${path}`
  return typeof host === 'string' && typeof port === 'number' ? `Redis at ${host}:${port}` : 'Redis'
}
