// As worker-js-esm, on the default cache.
const express = require('express')
const {
  attachSubscriber,
  configureRegistryCache,
  invalidateOn,
  registryCacheMiddleware,
} = require('express-registry-cache')
const { Redis } = require('ioredis')

const { REDIS_URL, PREFIX } = process.env
const redis = new Redis(REDIS_URL)
configureRegistryCache({ redis, prefix: PREFIX, maxStaleness: 60 })

let runs = 0
const tools = express.Router()
tools.use(registryCacheMiddleware({ type: 'tools', ttl: 20 }), invalidateOn('POST'))
tools.get('/', async (_req, res) => {
  runs += 1
  res.json({ names: await redis.lrange(`${PREFIX}names`, 0, -1) })
})
tools.post('/', async (req, res) => {
  await redis.rpush(`${PREFIX}names`, req.query.name)
  res.status(201).json({})
})
const app = express()
app.use('/tools', tools)
app.get('/runs', (_req, res) => res.json({ runs }))

const server = app.listen(0, '127.0.0.1', async () => {
  await attached
  process.send({ port: server.address().port })
})
const attached = attachSubscriber(server)
// The cache leaves when the server has closed; its client is the application's to close, after that.
process.once('disconnect', () => server.close(() => setImmediate(() => redis.quit())))
