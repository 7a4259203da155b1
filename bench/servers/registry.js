/*
 * This package. Arguments: `front` answers at the front door, `compress` keeps br and gzip variants, `strong` is maxStaleness 0,
 * `listening` has listeners for all events, `silent` writes no Cache-Status. REDIS_URL gives it an L2,
 * MAX_ENTRIES, MAX_MIB and TTL its bounds.
 */
import express from 'express'
import { Redis } from 'ioredis'
import { addLists, counted } from './handlers.js'
import { serve } from './serve.js'

// Another build of the same package, for comparing two of them.
const { createRegistryCache } = await import(process.env.BENCH_LIB ?? '../../dist/index.js')
const has = (word) => process.argv.includes(word)
const redis = process.env.REDIS_URL === undefined ? undefined : new Redis(process.env.REDIS_URL)
const cache = createRegistryCache({
  ...(redis ? { redis } : {}),
  headers: !has('silent'),
  memory: {
    maxEntries: Number(process.env.MAX_ENTRIES ?? 10_000),
    maxBytes: Number(process.env.MAX_MIB ?? 256) * 2 ** 20,
  },
})
await cache.start()
if (has('listening')) for (const event of ['hit', 'miss', 'store', 'bypass', 'stale']) cache.on(event, () => {})

const app = express()
const options = {
  type: 'tools',
  ttl: Number(process.env.TTL ?? 3600),
  ...(has('front') ? { scope: 'public', front: true } : {}),
  ...(has('compress') ? { compress: true } : {}),
  ...(has('strong') ? { maxStaleness: 0 } : {}),
}
addLists(app, cache.middleware(options))
serve(has('front') ? cache.front(app) : app, { ...counted, stats: () => ({ stats: cache.stats() }) })
