/* Sets of 10^6 different values in L1 under a bound. MAX_MIB. */
import { createRegistryCache } from '../../dist/index.js'
import { record } from '../harness/data.js'
import { serve } from './serve.js'

const cache = createRegistryCache({
  memory: { maxBytes: Number(process.env.MAX_MIB) * 2 ** 20, maxEntries: 200_000 },
})

serve((_req, res) => res.end(), {
  sets: async (count) => {
    const startedAt = performance.now()
    let rss = 0
    for (let i = 0; i < count; i++) {
      await cache.set('tools', record(i % 1000), { i }, { ttl: 3600 })
      if (i % 10_000 === 0) rss = Math.max(rss, process.memoryUsage().rss)
    }
    const micros = ((performance.now() - startedAt) / count) * 1000
    const { entries, bytes, evictions } = cache.stats()
    return { sets: { micros, entries, bytes, evictions, rss } }
  },
})
