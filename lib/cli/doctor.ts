/*
 * `doctor`: whether this Redis, and this user of it, are fit for the cache; and the least that such a user needs.
 */
import { aclLine, FLEET_COMMANDS, type Place } from './acl.ts'
import type { Settings } from './arguments.ts'
import { type Client, connect, messageOf, nameOf, within } from './connection.ts'
import { json, type Output, printable, table } from './output.ts'
import { probe } from './probes.ts'

export interface Check {
  readonly name: string
  /** `warn`: the cache works, but look at it. */
  readonly status: 'ok' | 'warn' | 'fail'
  readonly detail: string
}

const PINGS = 100
/** The cache's default `redisTimeout`: slower than that, and requests do without Redis. */
const SLOW_MS = 250
const CLOCK_WARNING_MS = 5000

/** 0 when nothing failed, warnings or not; 1 otherwise. */
export async function doctor(settings: Settings, output: Output): Promise<number> {
  const checks: Check[] = []
  let place: Place = { prefix: settings.prefix, keyPrefix: '', database: 0 }
  let client: Client | undefined
  try {
    client = await connect(settings)
    const { keyPrefix = '', db = 0 } = client.options as { keyPrefix?: string; db?: number }
    place = { ...place, keyPrefix, database: db }
    checks.push({ name: 'connection', status: 'ok', detail: nameOf(settings.redisUrl) })
    checks.push(...(await examine(client, place, settings)))
  } catch (error) {
    checks.push({ name: 'connection', status: 'fail', detail: messageOf(error) })
  } finally {
    client?.disconnect()
  }
  const isFit = checks.every(({ status }) => status !== 'fail')
  const acl = aclLine(place)
  if (settings.json) output.out(json({ ok: isFit, checks, acl }))
  else {
    for (const line of table(checks.map(({ name, status, detail }) => [status, name, printable(detail)])))
      output.out(line)
    output.out('\nA user with the least privileges (replace PASSWORD):')
    output.out(acl)
  }
  return isFit ? 0 : 1
}

async function examine(client: Client, place: Place, { timeoutMs }: Settings): Promise<Check[]> {
  const info = await readInfo(client, timeoutMs)
  return [
    checkVersion(info),
    ...checkMode(info),
    checkEviction(info),
    await checkLatency(client, timeoutMs),
    await checkClock(client, timeoutMs),
    await checkPermissions(client, place, timeoutMs),
    { name: 'notifications', status: 'ok', detail: 'keyspace notifications are not needed: leave them off' },
  ]
}

export type Info = ReadonlyMap<string, string> | { readonly refused: string }

async function readInfo(client: Client, timeoutMs: number): Promise<Info> {
  try {
    const text = String(await within(timeoutMs, client.call('INFO')))
    return new Map([...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]))
  } catch (error) {
    return { refused: messageOf(error) }
  }
}

/** `info`: the fields of INFO. */
export function checkVersion(info: Info): Check {
  const name = 'version'
  if ('refused' in info) return { name, status: 'warn', detail: `unknown: ${info.refused}` }
  const version = info.get('redis_version') ?? ''
  const valkey = info.get('valkey_version')
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isEnough = major > 6 || (major === 6 && minor >= 2)
  const detail = `Redis ${version}${valkey === undefined ? '' : ` (Valkey ${valkey})`}`
  return isEnough
    ? { name, status: 'ok', detail }
    : { name, status: 'fail', detail: `${detail}: 6.2 or later is needed` }
}

/** What else the server says of itself that would keep the cache from working. */
function checkMode(info: Info): Check[] {
  if ('refused' in info) return []
  const checks: Check[] = []
  if (info.get('redis_mode') === 'cluster') {
    const detail =
      'a node of a Cluster: give the cache a Cluster client; keys of other nodes can not be probed from here'
    checks.push({ name: 'mode', status: 'warn', detail })
  }
  if (info.get('role') === 'slave') {
    checks.push({
      name: 'role',
      status: 'fail',
      detail: 'a replica: the cache writes, and asks epochs of the master alone',
    })
  }
  return checks
}

function checkEviction(info: Info): Check {
  const name = 'eviction'
  if ('refused' in info) return { name, status: 'warn', detail: `unknown: ${info.refused}` }
  const policy = info.get('maxmemory_policy') ?? 'unknown'
  const maxBytes = Number(info.get('maxmemory') ?? 0)
  const limit = maxBytes === 0 ? 'no maxmemory' : `maxmemory ${Math.round(maxBytes / 1024 / 1024)} MiB`
  const [status, meaning] = meaningOf(policy, maxBytes)
  return { name, status, detail: `${policy}, ${limit}: ${meaning}` }
}

function meaningOf(policy: string, maxBytes: number): [status: 'ok' | 'warn', meaning: string] {
  if (maxBytes === 0)
    return ['warn', 'nothing is evicted, epochs are safe; only expiry bounds what is stored: set maxmemory']
  if (policy === 'noeviction') {
    return [
      'warn',
      'a full Redis refuses writes: nothing is stored, and invalidations delete epochs instead of raising them',
    ]
  }
  if (policy.endsWith('-random')) {
    return [
      'warn',
      'epochs in use may be evicted: each costs misses, never a stale answer; allkeys-lru or allkeys-lfu is better',
    ]
  }
  return ['ok', 'unused entries and epochs go first; a lost epoch costs misses, never a stale answer']
}

async function checkLatency(client: Client, timeoutMs: number): Promise<Check> {
  const name = 'latency'
  const durationsMs: number[] = []
  const startedAtMs = performance.now()
  try {
    // One slow PING must not become a hundred.
    while (durationsMs.length < PINGS && performance.now() - startedAtMs < timeoutMs) {
      const sentAtMs = performance.now()
      await within(timeoutMs, client.ping())
      durationsMs.push(performance.now() - sentAtMs)
    }
  } catch (error) {
    return { name, status: 'fail', detail: messageOf(error) }
  }
  durationsMs.sort((a, b) => a - b)
  const at = (share: number): number => durationsMs[Math.ceil(share * durationsMs.length) - 1] ?? 0
  const detail = `PING p50 ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms (${durationsMs.length} times)`
  if (at(0.99) < SLOW_MS) return { name, status: 'ok', detail }
  return { name, status: 'warn', detail: `${detail}: slower than the default redisTimeout of ${SLOW_MS} ms` }
}

async function checkClock(client: Client, timeoutMs: number): Promise<Check> {
  const name = 'clock'
  try {
    const sentAtMs = Date.now()
    const [whole, micros] = (await within(timeoutMs, client.call('TIME'))) as [string, string]
    const hereMs = (sentAtMs + Date.now()) / 2
    const aheadMs = Math.round(Number(whole) * 1000 + Number(micros) / 1000 - hereMs)
    const detail = `Redis is ${Math.abs(aheadMs)} ms ${aheadMs < 0 ? 'behind' : 'ahead of'} this machine`
    if (Math.abs(aheadMs) < CLOCK_WARNING_MS)
      return { name, status: 'ok', detail: `${detail}; the two are never compared` }
    const why = 'nothing is stale for that, but a lost epoch begins anew at the clock of Redis: keep it right'
    return { name, status: 'warn', detail: `${detail}; ${why}` }
  } catch (error) {
    return { name, status: 'fail', detail: messageOf(error) }
  }
}

/** Without INFO the client's ready check is all that is missing, and it can be turned off. */
async function checkPermissions(client: Client, place: Place, timeoutMs: number): Promise<Check> {
  const name = 'permissions'
  const { tried, refused } = await probe(client, place, timeoutMs)
  if (refused.length === 0) return { name, status: 'ok', detail: `${tried.join(', ')}: all allowed` }
  const detail = refused.map(({ command, message }) => `${command}: ${message}`).join('; ')
  const isForFleet = (command: string): boolean => FLEET_COMMANDS.some((one) => one === command)
  if (refused.some(({ command }) => command !== 'info' && !isForFleet(command))) return { name, status: 'fail', detail }
  const cures = []
  if (refused.some(({ command }) => command === 'info'))
    cures.push('give the client enableReadyCheck: false, or the user +info')
  if (refused.some(({ command }) => isForFleet(command))) cures.push('without heartbeats no view of the fleet shows it')
  return { name, status: 'warn', detail: [detail, ...cures].join('; ') }
}
