// One program with two copies of the package: what one stores, the other invalidates.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import express from 'express'
import { registryCacheMiddleware } from 'express-registry-cache'

const other = createRequire(import.meta.url)('express-registry-cache-again')
if (other.registryCacheMiddleware === registryCacheMiddleware) throw new Error('these should be two copies')

const names = ['first']
const app = express()
const tools = express.Router()
tools.use(registryCacheMiddleware({ type: 'tools', ttl: 20 }))
tools.get('/', (_req, res) => res.json({ names }))
tools.post('/', other.invalidateOn({ types: ['tools'] }), (_req, res) => {
  names.push('second')
  res.status(201).json({})
})
app.use('/tools', tools)

const server = app.listen(0, '127.0.0.1')
other.attachSubscriber(server)
await once(server, 'listening')

const seen = []
for (const method of ['GET', 'GET', 'POST', 'GET', 'GET']) {
  const res = await fetch(`http://127.0.0.1:${server.address().port}/tools`, {
    method,
    headers: { connection: 'close' },
  })
  seen.push(`${method} ${res.headers.get('x-cache') ?? '-'} ${await res.text()}`)
}
console.log(JSON.stringify(seen))
server.close()
