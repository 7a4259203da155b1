/*
 * The workers of the fleet as Redis shows them: what a heartbeat holds, written and read. Distrusts what it reads.
 */
import { workerKey, workersKey } from './keys.ts'
import type { RedisCommands, RedisScripts } from './redis-client.ts'

/** One worker. Counts are since its counters were last zeroed. */
export interface FleetWorker {
  readonly id: string
  /** Whether it is the one that was asked. */
  readonly own: boolean
  readonly host: string
  readonly pid: number
  /** Of this package, and of Node. */
  readonly version: string
  readonly node: string
  /** Milliseconds since 1970, by its own clock. */
  readonly startedAtMs: number
  /** Since it last said so. */
  readonly beatMsAgo: number
  /** Whether it heard messages of others then. */
  readonly subscribed: boolean
  readonly hits: number
  readonly misses: number
  readonly stale: number
  readonly bypasses: number
  readonly redisHits: number
  readonly redisMisses: number
  readonly stores: number
  readonly invalidations: number
  readonly evictions: number
  readonly errors: number
  readonly entries: number
  readonly bytes: number
}

export interface FleetView {
  /** False when Redis did not answer: the workers are those that were seen last, and this one. */
  readonly known: boolean
  /** The one that was asked first, then by id. At most 1,000. */
  readonly workers: readonly FleetWorker[]
}

/** Three beats: one that is lost, or late, is nobody's death. */
export const BEAT_EXPIRY_SECONDS = 15
const MAX_WORKERS = 1000

/**
 * Those whose hash still lives, by id, and the ids of those whose does not; `own` is left out. Two round trips, of commands with
 * one key each: on a Cluster they are in different slots. Rejects as the client does.
 */
export async function readWorkers(
  client: Pick<RedisCommands & RedisScripts, 'zrange' | 'registryCacheLook'>,
  prefix: string,
  own?: string,
): Promise<{ readonly workers: readonly FleetWorker[]; readonly dead: readonly string[] }> {
  const all = await client.zrange(workersKey(prefix), -MAX_WORKERS, -1)
  const ids = all.filter((id) => id !== own && /^[\w-]{1,64}$/.test(id)).sort()
  const said = await Promise.all(ids.map((id) => client.registryCacheLook(workerKey(prefix, id))))
  return {
    workers: ids.flatMap((id, i) => workerOf(id, said[i]) ?? []),
    dead: ids.filter((_id, i) => !isAlive(said[i])),
  }
}

const COUNTS = [
  'hits',
  'misses',
  'stale',
  'bypasses',
  'redisHits',
  'redisMisses',
  'stores',
  'invalidations',
  'evictions',
  'errors',
  'entries',
  'bytes',
] as const satisfies readonly (keyof FleetWorker)[]

/** Names and values, one after the other. */
export function fieldsOf(worker: FleetWorker): (string | number)[] {
  const { host, pid, version, node, startedAtMs, subscribed } = worker
  const about = { host, pid, version, node, startedAtMs, subscribed: subscribed ? 1 : 0 }
  const counts = COUNTS.map((name) => [name, worker[name]] as const)
  return [...Object.entries(about), ...counts].flat()
}

/** A client with `stringNumbers` gives the number as text. */
type Said = readonly [ttlMs: number | string, fields: readonly string[]]

function isAlive(said: unknown): said is Said {
  return Array.isArray(said) && Number(said[0]) > 0 && Array.isArray(said[1])
}

/** Undefined for the dead, and for what no worker of ours writes. */
function workerOf(id: string, said: unknown): FleetWorker | undefined {
  if (!isAlive(said)) return undefined
  const [ttlMs, flat] = said
  const fields = new Map<string, string>()
  for (let i = 0; i + 1 < flat.length; i += 2) fields.set(String(flat[i]), String(flat[i + 1]).slice(0, 256))
  const number = (name: string): number => {
    const value = Number(fields.get(name) ?? 0)
    return Number.isFinite(value) && value >= 0 ? value : 0
  }
  if (!fields.has('host')) return undefined
  const counts = Object.fromEntries(COUNTS.map((name) => [name, number(name)])) as Record<
    (typeof COUNTS)[number],
    number
  >
  return {
    id,
    own: false,
    host: fields.get('host') ?? '',
    pid: number('pid'),
    version: fields.get('version') ?? '',
    node: fields.get('node') ?? '',
    startedAtMs: number('startedAtMs'),
    beatMsAgo: Math.max(0, BEAT_EXPIRY_SECONDS * 1000 - Number(ttlMs)),
    subscribed: fields.get('subscribed') === '1',
    ...counts,
  }
}
