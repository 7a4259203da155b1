/*
 * A worker that says that it is there.
 */
import { Redis } from 'ioredis'
import { createRegistryCache } from '../../lib/index.ts'
import { serve } from '../helpers/worker.ts'

const redis = new Redis(process.env.REDIS_URL ?? '')
const cache = createRegistryCache({ redis })

const handlers = {
  /** Resolves to its id. */
  async start(): Promise<string> {
    await cache.start()
    return cache.describe().worker
  },
}
export type HeartbeatWorker = typeof handlers

serve(handlers, async () => {
  await cache.stop()
  redis.disconnect()
})
