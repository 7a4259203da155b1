/*
 * Workers on one Redis, each behind a proxy of its own, with one database that all share.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { type Answer, request } from '../helpers/http.ts'
import { type RedisServer, type StartOptions, startRedis } from '../helpers/redis-server.ts'
import { type ProxyConnection, startProxy, type TcpProxy } from '../helpers/tcp-proxy.ts'
import { until } from '../helpers/until.ts'
import { forkWorker, type Worker } from '../helpers/worker.ts'
import type { RegistryWorker, WorkerConfig } from './registry-worker.ts'

export interface FleetWorker {
  readonly process: Worker<RegistryWorker>
  readonly proxy: TcpProxy
  /** Begins anew with an empty memory; its counts begin at 0. */
  open(config?: Partial<WorkerConfig>): Promise<void>
  get(path: string): Promise<Answer>
  post(path: string): Promise<Answer>
  /** The version in the answer; fails when it is none. */
  version(path: string): Promise<number>
  /** How often the handler of this path has run. */
  runs(path: string): Promise<number>
  stats(): Promise<Awaited<ReturnType<RegistryWorker['stats']>>>
}

export interface Fleet {
  readonly redis: RedisServer
  readonly workers: readonly FleetWorker[]
  /** All workers begin anew, on an empty Redis and an empty database. */
  reopen(config?: Partial<WorkerConfig>): Promise<void>
  /** How often the handler of this path has run in all workers that still run. */
  runs(path: string): Promise<number>
  /** Resolves when every worker uses Redis and hears the others. */
  settled(): Promise<void>
  stop(): Promise<void>
}

/** `config`: for all workers. */
export async function startFleet(
  count: number,
  config: Partial<WorkerConfig> = {},
  redisOptions: StartOptions = {},
): Promise<Fleet> {
  const redis = await startRedis(redisOptions)
  const parent = mkdtempSync(join(tmpdir(), 'fleet-test-'))
  let folder = parent
  let current = config
  const workers: FleetWorker[] = []
  const agent = new Agent({ keepAlive: true, maxSockets: 300 })

  async function add(): Promise<void> {
    const proxy = await startProxy(redis.port)
    const process = await forkWorker<RegistryWorker>(new URL('./registry-worker.ts', import.meta.url))
    let port = 0
    const get = (path: string): Promise<Answer> => request(port, { path, agent })
    workers.push({
      process,
      proxy,
      async open(own = {}) {
        port = await process.call('open', { redisPort: proxy.port, folder, ...current, ...own })
      },
      get,
      post: (path) => request(port, { method: 'POST', path, agent }),
      async version(path) {
        const answer = await get(path)
        expect(answer.status, answer.text).to.equal(200)
        return answer.json<{ version: number }>().version
      },
      runs: async (path) => (await process.call('runs'))[path] ?? 0,
      stats: () => process.call('stats'),
    })
  }

  const fleet: Fleet = {
    redis,
    workers,
    async reopen(next = {}) {
      current = { ...config, ...next }
      folder = mkdtempSync(join(parent, 'data-'))
      await Promise.all(workers.map(({ proxy }) => proxy.heal()))
      await redis.command('FLUSHALL')
      await Promise.all(workers.map((worker) => worker.open()))
      if (current.subscribe !== false) await fleet.settled()
    },
    async runs(path) {
      const running = workers.filter(({ process }) => process.isRunning)
      const counts = await Promise.all(running.map((worker) => worker.runs(path)))
      return counts.reduce((sum, each) => sum + each, 0)
    },
    async settled() {
      await until(
        async () => {
          const all = await Promise.all(workers.map((worker) => worker.stats()))
          return all.every((stats) => stats.redisAvailable && stats.subscribed && stats.pendingInvalidations === 0)
        },
        { deadlineMs: 10_000, describe: 'all workers to use Redis and to hear each other' },
      )
    },
    async stop() {
      agent.destroy()
      await Promise.all(workers.map(({ process }) => process.stop()))
      await Promise.all(workers.map(({ proxy }) => proxy.close()))
      await redis.stop()
      rmSync(parent, { recursive: true, force: true })
    },
  }
  try {
    await Promise.all(Array.from({ length: count }, () => add()))
    await fleet.reopen(config)
    return fleet
  } catch (error) {
    await fleet.stop()
    throw error
  }
}

/** A filter for the proxy: the connection on which a worker listens to the others. */
export function isSubscriber(connection: ProxyConnection): boolean {
  return connection.commands.has('SUBSCRIBE')
}
