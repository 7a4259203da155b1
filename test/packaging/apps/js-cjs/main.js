const { once } = require('node:events')
const express = require('express')
const { attachSubscriber, invalidateOn, registryCacheMiddleware } = require('express-registry-cache')

async function main() {
  const names = ['first']
  const app = express()
  const tools = express.Router()
  tools.use(registryCacheMiddleware({ type: 'tools', ttl: 20 }), invalidateOn('POST'))
  tools.get('/', (_req, res) => res.json({ names }))
  tools.post('/', (_req, res) => {
    names.push('second')
    res.status(201).json({})
  })
  app.use('/tools', tools)

  const server = app.listen(0, '127.0.0.1')
  attachSubscriber(server)
  await once(server, 'listening')

  const seen = []
  for (const method of ['GET', 'GET', 'POST', 'GET', 'GET']) {
    const url = `http://127.0.0.1:${server.address().port}/tools`
    const res = await fetch(url, { method, headers: { connection: 'close' } })
    seen.push(`${method} ${res.headers.get('x-cache') ?? '-'} ${await res.text()}`)
  }
  console.log(JSON.stringify(seen))
  server.close()
}

void main()
