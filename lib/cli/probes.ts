/*
 * Tries each command that the cache sends, as the user that it would be sent by. Keys are under a random type of their own,
 * expire within a minute whatever happens, and are removed again; the message on the channel is one that every worker ignores.
 */
import { createHash, randomBytes } from 'node:crypto'
import { channelOf, entryKey, epochKey, workerKey, workersKey } from '../tiers/keys.ts'
import type { COMMANDS, FLEET_COMMANDS, Place } from './acl.ts'
import { type Client, messageOf, within } from './connection.ts'

export interface Refusal {
  readonly command: string
  readonly message: string
}

export interface Probed {
  readonly tried: readonly string[]
  readonly refused: readonly Refusal[]
}

/** Time to live of the keys, should removing them be refused. */
const PROBE_SECONDS = '60'
const SCRIPT = "return redis.call('EXISTS', KEYS[1])"

/** Never throws: what fails is refused. */
export async function probe(client: Client, place: Place, timeoutMs: number): Promise<Probed> {
  const { prefix, database } = place
  const id = `doctor-${randomBytes(6).toString('hex')}`
  const entry = entryKey(prefix, id, randomBytes(16).toString('hex'))
  // Tags need not be of a type: their epochs are under another pattern.
  const keys = [entry, `${entry}:@lock:0`, epochKey(prefix, `registry:${id}`), epochKey(prefix, `${id}:0`)]
  const channel = channelOf(prefix)
  const sha = createHash('sha1').update(SCRIPT).digest('hex')
  const [worker, ids] = [workerKey(prefix, id), workersKey(prefix)]
  const refused: Refusal[] = []
  // What can not be made to expire is not made: of a worker that does not exist nothing must stay.
  const forAMinute = async (key: string, ask: () => Promise<unknown>): Promise<void> => {
    if (refused.some(({ command }) => command === 'expire')) return
    await ask()
    await client.call('EXPIRE', key, PROBE_SECONDS)
  }
  type Tried = (typeof COMMANDS)[number] | (typeof FLEET_COMMANDS)[number] | 'select'
  const tries: Record<Tried, () => Promise<unknown>> = {
    ping: () => client.ping(),
    info: () => client.call('INFO', 'server'),
    set: () => each(keys, (key) => client.call('SET', key, '0', 'EX', PROBE_SECONDS, 'NX')),
    get: () => each(keys, (key) => client.call('GET', key)),
    mget: () => client.call('MGET', ...keys),
    exists: () => each(keys, (key) => client.call('EXISTS', key)),
    pttl: () => client.call('PTTL', entry),
    ttl: () => each(keys, (key) => client.call('TTL', key)),
    expire: () => each(keys, (key) => client.call('EXPIRE', key, PROBE_SECONDS)),
    time: () => client.call('TIME'),
    eval: () => client.call('EVAL', SCRIPT, '1', entry),
    evalsha: () => client.call('EVALSHA', sha, '1', entry).catch(passUnlessDenied),
    publish: () => client.call('PUBLISH', channel, id),
    subscribe: () => subscribe(client, channel, timeoutMs),
    hset: () => forAMinute(worker, () => client.call('HSET', worker, 'probe', '1')),
    hgetall: () => client.call('HGETALL', worker),
    // The lowest score: the next worker that says it is there forgets it.
    zadd: () => forAMinute(ids, () => client.call('ZADD', ids, '0', id)),
    zrange: () => client.call('ZRANGE', ids, '-1', '-1'),
    zremrangebyscore: () => client.call('ZREMRANGEBYSCORE', ids, '-inf', '(0'),
    zrem: () => client.call('ZREM', ids, id),
    select: () => client.call('SELECT', String(database)),
    del: () => each(keys, (key) => client.call('DEL', key)),
  }
  const tried = (Object.keys(tries) as (keyof typeof tries)[]).filter((name) => name !== 'select' || database !== 0)
  for (const command of tried) {
    await within(timeoutMs, tries[command]()).catch((error) => refused.push({ command, message: messageOf(error) }))
  }
  // Not among the tries: who may not write it needs no permission to delete it.
  await within(timeoutMs, client.call('DEL', worker)).catch(() => {})
  return { tried, refused }
}

async function each(keys: readonly string[], ask: (key: string) => Promise<unknown>): Promise<void> {
  await Promise.all(keys.map(ask))
}

/** That a script is not known says that it would be run. */
function passUnlessDenied(error: unknown): void {
  if (!/^NOSCRIPT/.test(messageOf(error))) throw error
}

/** On a connection of its own, as the cache does: it is of no use for anything else from then on. */
async function subscribe(client: Client, channel: string, timeoutMs: number): Promise<void> {
  const subscriber = client.duplicate({})
  subscriber.on('error', () => {})
  try {
    await within(timeoutMs, subscriber.connect())
    await within(timeoutMs, subscriber.subscribe(channel))
  } finally {
    subscriber.disconnect()
  }
}
