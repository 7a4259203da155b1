/*
 * The caches whose behaviour is compared, each as its own documentation shows it, with Redis where it is made for that. `responses` caches
 * are middlewares: `route` is what a handler goes behind. `values` caches are called by the handler: `wrap` loads under a key.
 * `invalidate` makes everything that the list route answered worthless, by the best means that the peer has.
 */
import { startNginx } from '../harness/processes.js'

/** The name of the list's group, tag or type. */
const LIST = 'list'
const HOUR_MS = 3_600_000

const settled = (act) => new Promise((resolve, reject) => act((error) => (error ? reject(error) : resolve())))

async function registry({ redisPort }) {
  const { Redis } = await import('ioredis')
  const { createRegistryCache } = await import('../../dist/index.js')
  const redis = new Redis(redisPort, '127.0.0.1')
  const cache = createRegistryCache({ redis, logger: silent })
  await cache.start()
  return {
    route: [cache.middleware({ type: LIST, ttl: 3600 })],
    invalidate: () => cache.invalidate(LIST),
    stop: async () => {
      await cache.stop()
      redis.disconnect()
    },
  }
}

const silent = { debug() {}, info() {}, warn() {}, error() {} }

async function apicache() {
  const { default: shared } = await import('apicache')
  const cache = shared.newInstance({ defaultDuration: '1 hour' })
  const group = (req, _res, next) => {
    req.apicacheGroup = LIST
    next()
  }
  return { route: [group, cache.middleware('1 hour')], invalidate: async () => cache.clear(LIST), stop: async () => {} }
}

async function httpCacheMiddleware() {
  const { default: httpCache } = await import('http-cache-middleware')
  const timeout = (_req, res, next) => {
    res.setHeader('x-cache-timeout', '1 hour')
    next()
  }
  return {
    use: httpCache(),
    route: [timeout],
    // Its way: a response header of the write names a pattern.
    onWrite: (res) => res.setHeader('x-cache-expire', '*/list*'),
    stop: async () => {},
  }
}

async function expressRedisCache({ redisPort }) {
  const { default: create } = await import('express-redis-cache')
  const cache = create({ host: '127.0.0.1', port: redisPort, expire: 3600 })
  cache.on('error', () => {})
  return {
    route: [cache.route()],
    invalidate: () => settled((done) => cache.del('/list*', done)),
    stop: async () => cache.client.end(true),
  }
}

async function bentocache({ redisPort }) {
  const { Redis } = await import('ioredis')
  const { BentoCache, bentostore } = await import('bentocache')
  const { memoryDriver } = await import('bentocache/drivers/memory')
  const { redisBusDriver, redisDriver } = await import('bentocache/drivers/redis')
  const connection = { host: '127.0.0.1', port: redisPort }
  const store = bentostore()
    .useL1Layer(memoryDriver({ maxItems: 10_000 }))
    .useL2Layer(redisDriver({ connection: new Redis(connection) }))
    .useBus(redisBusDriver({ connection }))
  const cache = new BentoCache({ default: 'list', stores: { list: store }, logger: undefined })
  return {
    wrap: (key, load) => cache.getOrSet({ key, ttl: '1h', tags: [LIST], factory: load }),
    invalidate: () => cache.deleteByTag({ tags: [LIST] }),
    stop: () => cache.disconnectAll(),
  }
}

async function cacheManager() {
  const { createCache } = await import('cache-manager')
  const cache = createCache({ ttl: HOUR_MS })
  return { wrap: (key, load) => cache.wrap(key, load), invalidate: () => cache.clear(), stop: () => cache.disconnect() }
}

async function layeredLoader({ redisPort }) {
  const { Redis } = await import('ioredis')
  const { createGroupNotificationPair, GroupLoader, RedisGroupCache } = await import('layered-loader')
  const [publisherRedis, consumerRedis, redis] = [1, 2, 3].map(() => new Redis(redisPort, '127.0.0.1'))
  const { publisher, consumer } = createGroupNotificationPair({ channel: 'lists', publisherRedis, consumerRedis })
  const loader = new GroupLoader({
    inMemoryCache: { ttlInMsecs: HOUR_MS, maxGroups: 100, maxItemsPerGroup: 10_000 },
    asyncCache: new RedisGroupCache(redis, { ttlInMsecs: HOUR_MS, json: true }),
    notificationPublisher: publisher,
    notificationConsumer: consumer,
    // It loads by key, so what to load for a key is remembered here.
    dataSources: [{ name: 'lists', getFromGroup: (key) => loads.get(key)() }],
  })
  const loads = new Map()
  await loader.init()
  return {
    wrap: (key, load) => {
      loads.set(key, load)
      return loader.get(key, LIST)
    },
    invalidate: () => loader.invalidateCacheForGroup(LIST),
    stop: async () => {
      for (const client of [publisherRedis, consumerRedis, redis]) client.disconnect()
    },
  }
}

async function handWritten({ redisPort }) {
  const { Redis } = await import('ioredis')
  const redis = new Redis(redisPort, '127.0.0.1')
  redis.on('error', () => {})
  return {
    wrap: async (key, load) => {
      const known = await redis.get(`${LIST}:${key}`)
      if (known !== null) return JSON.parse(known)
      const value = await load()
      await redis.set(`${LIST}:${key}`, JSON.stringify(value), 'EX', 3600)
      return value
    },
    invalidate: async () => {
      const keys = await redis.keys(`${LIST}:*`)
      if (keys.length > 0) await redis.del(keys)
    },
    stop: async () => redis.disconnect(),
  }
}

async function nginx() {
  return { route: [], front: (port) => startNginx(port), stop: async () => {} }
}

/** In the order of the table. `kind` is what it keeps, `tiers` where. */
export const PEERS = {
  'express-registry-cache': { kind: 'responses', tiers: 'memory + Redis', redis: true, create: registry },
  apicache: { kind: 'responses', tiers: 'memory', create: apicache },
  'http-cache-middleware': { kind: 'responses', tiers: 'memory', create: httpCacheMiddleware },
  'express-redis-cache': { kind: 'responses', tiers: 'Redis', redis: true, create: expressRedisCache },
  bentocache: { kind: 'values', tiers: 'memory + Redis', redis: true, create: bentocache },
  'cache-manager': { kind: 'values', tiers: 'memory', create: cacheManager },
  'layered-loader': { kind: 'values', tiers: 'memory + Redis', redis: true, create: layeredLoader },
  'GET/SET by hand': { kind: 'values', tiers: 'Redis', redis: true, create: handWritten },
  nginx: { kind: 'responses', tiers: 'files', create: nginx },
}
