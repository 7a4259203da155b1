/*
 * `stats`: the fleet, by what its workers last said of themselves. Reads only.
 */
import { type FleetWorker, readWorkers } from '../tiers/fleet-view.ts'
import type { Commands } from '../tiers/redis-client.ts'
import { defineScripts } from '../tiers/scripts.ts'
import type { Settings } from './arguments.ts'
import { connect, messageOf, nameOf, within } from './connection.ts'
import { json, type Output, printable, table } from './output.ts'

const SUMMED = ['hits', 'misses', 'stale', 'bypasses', 'entries', 'bytes', 'invalidations', 'errors'] as const

type Sum = Record<(typeof SUMMED)[number], number>

/** 0 when Redis has answered, workers or not; 1 otherwise. */
export async function stats(settings: Settings, output: Output): Promise<number> {
  const { prefix, timeoutMs, redisUrl } = settings
  const client = await connect(settings)
  try {
    defineScripts(client as unknown as Commands)
    const { workers } = await within(timeoutMs, readWorkers(client as unknown as Commands, prefix))
    const sum = Object.fromEntries(
      SUMMED.map((name) => [name, workers.reduce((total, worker) => total + worker[name], 0)]),
    ) as Sum
    if (settings.json) {
      const rows = workers.map(({ own, ...worker }) => worker)
      output.out(json({ workers: rows, total: { ...sum, hitRate: rate(sum) } }))
    } else if (workers.length > 0) for (const line of table(rowsOf(workers, sum))) output.out(line)
    if (workers.length === 0) {
      output.err(`no worker has said under ${printable(JSON.stringify(prefix))} that it is there (another --prefix?)`)
    }
    return 0
  } catch (error) {
    output.err(`the workers on ${nameOf(redisUrl)} can not be read: ${printable(messageOf(error))}`)
    return 1
  } finally {
    client.disconnect()
  }
}

function rowsOf(workers: readonly FleetWorker[], sum: Sum): string[][] {
  const head = ['worker', 'host', 'pid', 'version', 'node', 'up', 'subscribed', 'beat', 'hit rate', ...SUMMED]
  const nowMs = Date.now()
  const rows = workers.map((worker) => [
    worker.id,
    worker.host,
    `${worker.pid}`,
    worker.version,
    worker.node,
    duration(nowMs - worker.startedAtMs),
    worker.subscribed ? 'yes' : 'no',
    duration(worker.beatMsAgo),
    percent(rate(worker)),
    ...SUMMED.map((name) => `${worker[name]}`),
  ])
  const count = workers.length === 1 ? '1 worker' : `${workers.length} workers`
  const total = [count, '', '', '', '', '', '', '', percent(rate(sum)), ...SUMMED.map((name) => `${sum[name]}`)]
  return [head, ...rows, total].map((row) => row.map((cell) => printable(cell)))
}

function rate({ hits, misses }: { readonly hits: number; readonly misses: number }): number {
  return hits + misses === 0 ? 0 : hits / (hits + misses)
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`
}

/** In the two greatest units; wall clocks of two machines differ, so nothing is below 0. */
function duration(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000))
  const [days, hours, minutes] = [
    Math.floor(total / 86_400),
    Math.floor(total / 3600) % 24,
    Math.floor(total / 60) % 60,
  ]
  if (days > 0) return `${days}d ${hours}h`
  if (hours > 0) return `${hours}h ${minutes}m`
  return minutes > 0 ? `${minutes}m ${total % 60}s` : `${total}s`
}
