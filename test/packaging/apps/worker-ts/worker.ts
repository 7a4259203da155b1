// As worker-js-esm; compiled as a module or as CommonJS, whichever the package.json beside it says.
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createRegistryCache } from 'express-registry-cache'
import { Redis } from 'ioredis'

const { REDIS_URL = '', PREFIX = '' } = process.env

async function main(): Promise<void> {
  const redis = new Redis(REDIS_URL)
  const cache = createRegistryCache({ redis, prefix: PREFIX, maxStaleness: 60 })
  await cache.start()

  let runs = 0
  const tools = cache.middleware({ type: 'tools', ttl: 20 })
  const app = express()
  app.get('/tools', tools, async (_req, res) => {
    runs += 1
    res.json({ names: await redis.lrange(`${PREFIX}names`, 0, -1) })
  })
  app.post('/tools', tools.invalidateOn('POST'), async (req, res) => {
    await redis.rpush(`${PREFIX}names`, String(req.query.name))
    res.status(201).json({})
  })
  app.get('/runs', (_req, res) => {
    res.json({ runs })
  })

  const server = app.listen(0, '127.0.0.1', () => {
    process.send?.({ port: (server.address() as AddressInfo).port })
  })
  process.once('disconnect', async () => {
    server.close()
    await cache.stop()
    await redis.quit()
  })
}

void main()
