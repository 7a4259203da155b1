/*
 * A worker of an application in a process of its own.
 */
import { Redis } from 'ioredis'
import { createRegistryCache } from '../../lib/index.ts'
import { serve } from '../helpers/worker.ts'

const redis = new Redis(process.env.REDIS_URL ?? '')
const cache = createRegistryCache({ redis })
let loads = 0

export const handlers = {
  start: () => cache.start(),
  /** How often the list of a type was loaded in this worker, this look included. */
  async look(type: string, tag: string): Promise<number> {
    const load = async (): Promise<number> => ++loads
    await cache.wrap(type, undefined, load, { ttl: 600, tags: [tag] })
    return loads
  },
}

serve(handlers, async () => {
  await cache.stop()
  redis.disconnect()
})
