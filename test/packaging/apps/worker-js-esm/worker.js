// One worker of several over one Redis, for scripts/matrix.js: says its port, ends by itself when its parent lets go of it.
// An epoch is believed for long, so that only a message brings word of the other worker's write in time.
import { once } from 'node:events'
import express from 'express'
import { createRegistryCache } from 'express-registry-cache'
import { Redis } from 'ioredis'

const { REDIS_URL, PREFIX } = process.env
const redis = new Redis(REDIS_URL)
const cache = createRegistryCache({ redis, prefix: PREFIX, maxStaleness: 60 })
await cache.start()

let runs = 0
const tools = cache.middleware({ type: 'tools', ttl: 20 })
const app = express()
app.use('/tools', tools, tools.invalidateOn('POST'))
app.get('/tools', async (_req, res) => {
  runs += 1
  res.json({ names: await redis.lrange(`${PREFIX}names`, 0, -1) })
})
app.post('/tools', async (req, res) => {
  await redis.rpush(`${PREFIX}names`, req.query.name)
  res.status(201).json({})
})
app.get('/runs', (_req, res) => res.json({ runs }))

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
process.once('disconnect', async () => {
  server.close()
  await cache.stop()
  await redis.quit()
})
process.send({ port: server.address().port })
