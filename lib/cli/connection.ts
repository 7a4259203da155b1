/*
 * The way to Redis for the commands: the client that the user has installed, deadlines on everything, and messages that
 * name the server but never a password.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { RedisClient } from '../tiers/redis-client.ts'

/** What the commands call of an ioredis or iovalkey client. */
export type Client = Omit<RedisClient, 'duplicate'> & {
  call(command: string, ...args: (string | number)[]): Promise<unknown>
  callBuffer(command: string, ...args: (string | number)[]): Promise<unknown>
  subscribe(channel: string): Promise<unknown>
  duplicate(override: object): Client
}

/** Redis, or the client for it, can not be had: exit code 1. The message is for the user. */
export class ConnectionError extends Error {}

export interface ConnectOptions {
  readonly redisUrl: string
  readonly timeoutMs: number
}

type ClientClass = new (url: string, options: object) => Client

/** Connects, authenticates and asks for a sign of life. Never tries twice. @throws ConnectionError */
export async function connect(options: ConnectOptions): Promise<Client> {
  const ClientOfUser = loadClientClass()
  const client = new ClientOfUser(options.redisUrl, {
    lazyConnect: true,
    // It asks for INFO, which a user of least privileges may lack.
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: null,
    connectTimeout: options.timeoutMs,
    // A frozen server does not answer a farewell either.
    disconnectTimeout: 100,
  })
  await open(client, options)
  return client
}

/** Connects a client that is not connected yet, and asks for a sign of life. @throws ConnectionError */
export async function open(client: Client, { redisUrl, timeoutMs }: ConnectOptions): Promise<void> {
  let lastError: unknown
  client.on('error', (error) => {
    lastError = error
  })
  try {
    await within(timeoutMs, client.connect())
    await within(timeoutMs, client.ping()).catch((error) => {
      // Who may not PING is connected all the same.
      if (!/^NOPERM/.test(messageOf(error))) throw error
    })
  } catch (error) {
    client.disconnect()
    throw new ConnectionError(
      `${nameOf(redisUrl)} can not be used: ${withoutSecrets(messageOf(lastError ?? error), redisUrl)}`,
    )
  }
}

/** What `work` gives, unless it takes longer: then it rejects, and what comes later counts for nothing. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return messageOf(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

/** From this package's place, then from the working directory: `npx` keeps packages elsewhere than the application. */
function loadClientClass(): ClientClass {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    for (const name of ['ioredis', 'iovalkey']) {
      const found = tryRequire(createRequire(from), name)
      if (found !== undefined) return found
    }
  }
  throw new ConnectionError('a Redis client is needed and none is installed: npm install ioredis')
}

function tryRequire(require: NodeJS.Require, name: string): ClientClass | undefined {
  let path: string
  try {
    path = require.resolve(name)
  } catch {
    return undefined // Not installed there.
  }
  const { Redis } = require(path) as { Redis?: ClientClass }
  return Redis
}

/** The server of a URL for messages: protocol, host, port, database. No user, password or query. */
export function nameOf(redisUrl: string): string {
  if (redisUrl.startsWith('/')) return redisUrl.split('?')[0] ?? ''
  try {
    const { protocol, host, pathname, username, password } = new URL(redisUrl)
    // A password with a slash ends up as host and path.
    if (host === '' || (redisUrl.includes('@') && username === '' && password === '')) return 'Redis'
    return `${protocol}//${host}${/^\/\d+$/.test(pathname) ? pathname : ''}`
  } catch {
    return 'Redis'
  }
}

/** A message of others without the passwords of the URL, as written and as meant. */
export function withoutSecrets(message: string, redisUrl: string): string {
  const secrets = [/:\/\/[^/]*?:([^@]*)@/.exec(redisUrl)?.[1], /[?&]password=([^&]*)/.exec(redisUrl)?.[1]]
  let text = redisUrl === '' ? message : message.replaceAll(redisUrl, '(URL)')
  for (const secret of secrets) {
    if (secret) text = text.replaceAll(secret, '***').replaceAll(decoded(secret), '***')
  }
  return text
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
