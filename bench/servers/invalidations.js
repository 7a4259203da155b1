/* Times invalidations and plain SETs, one after the other, in batches that alternate. REDIS_URL. */

import { Redis } from 'ioredis'
import { createRegistryCache } from '../../dist/index.js'
import { serve } from './serve.js'

const redis = new Redis(process.env.REDIS_URL)
const cache = createRegistryCache({ redis })
await cache.start()

async function timed(count, act) {
  const startedAt = performance.now()
  for (let i = 0; i < count; i++) await act(i)
  return ((performance.now() - startedAt) / count) * 1000
}

serve((_req, res) => res.end(), {
  batch: async (count) => ({
    batch: {
      set: await timed(count, (i) => redis.set(`plain:${i % 100}`, 'value')),
      one: await timed(count, () => cache.invalidate('resources')),
      dependent: await timed(count, () => cache.invalidate('gateways')),
    },
  }),
  /** Keys that have nothing to do with the cache, under its prefix. */
  foreign: async ({ from, to }) => {
    for (let at = from; at < to; at += 1000) {
      const pairs = Array.from({ length: Math.min(1000, to - at) }, (_, i) => [`mcpgw:other:${at + i}`, 'x']).flat()
      await redis.mset(pairs)
    }
    return { foreign: await redis.dbsize() }
  },
})
