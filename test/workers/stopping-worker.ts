/* A process that uses a cache and stops it, in the midst of its work; it must end without process.exit. */
import { Redis } from 'ioredis'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import type { RedisClient } from '../../lib/tiers/redis-client.ts'
import { until } from '../helpers/until.ts'
import { serve } from '../helpers/worker.ts'

let client: Redis | undefined
let cache: RegistryCache | undefined

const handlers = {
  async open(port: number): Promise<void> {
    client = new Redis({ port, host: '127.0.0.1' })
    client.on('error', () => {})
    cache = createRegistryCache({
      redis: client as unknown as RedisClient,
      redisTimeout: 0.2,
      sweepForeignKeys: true,
      silence: ['ERR_REDIS_UNAVAILABLE'],
    })
    await cache.start()
    await cache.wrap('items', {}, () => 1)
  },
  /** Stops, and says what is left that would keep a process alive, once the client's own sockets and timers are gone. */
  async stopBusily(isBusy: boolean): Promise<{ handles: string[]; tookMs: number }> {
    const work: Promise<unknown>[] = []
    for (let i = 0; isBusy && i < 20; i++) {
      work.push(cache?.wrap('items', { i }, () => i) ?? Promise.resolve())
      work.push(cache?.invalidate({ tag: `item:${i}` }) ?? Promise.resolve())
    }
    const startedAtMs = performance.now()
    await cache?.stop()
    const tookMs = performance.now() - startedAtMs
    await Promise.all(work)
    await cache?.stop()
    client?.disconnect()
    const handles = (): string[] => process.getActiveResourcesInfo().filter((kind) => /^(Timeout|TCP)/.test(kind))
    // A client gives a silent socket 2 seconds to close.
    await until(() => handles().length === 0, { deadlineMs: 6_000 }).catch(() => {})
    return { handles: handles(), tookMs }
  },
}

export type StoppingWorker = typeof handlers

serve(handlers)
