import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createRegistryCache, OptionError } from 'express-registry-cache'

const cache = createRegistryCache({ types: { tools: 20, plugins: { ttl: 5, dependsOn: ['tools'] } } })
const cached = cache.middleware({ type: 'tools', ttl: 20, scope: 'public', query: { ignore: ['utm_source'] } })

const names = ['first']
const app = express()
const tools = express.Router()
// The handlers behind a middleware of ours keep the types that Express gives them.
tools.get('/', cached, (req, res) => {
  const limit = Number(req.query.limit ?? 10)
  res.json({ names: names.slice(0, limit) })
})
tools.post('/', cached.invalidateOn('POST'), express.json(), (req, res) => {
  names.push(req.body?.name ?? 'second')
  res.status(201).json({})
})
app.get('/tools/:name', cached, (req, res) => {
  const name: string = req.params.name
  res.json(names.filter((each) => each === name))
})
app.use('/tools', tools)
app.use('/admin', cache.invalidateOn({ methods: ['POST'], types: ['tools', 'prompts'] }))

await cache.start()
const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo

const seen: string[] = []
for (const method of ['GET', 'GET', 'POST', 'GET', 'GET']) {
  const res = await fetch(`http://127.0.0.1:${port}/tools`, { method, headers: { connection: 'close' } })
  seen.push(`${method} ${res.headers.get('x-cache') ?? '-'} ${await res.text()}`)
}
server.close()

const loaded = await cache.wrap('tool_lookup', { name: 'a' }, async () => ({ id: 1 }), { ttl: 60 })
const id: number = loaded.id
if (id !== 1) throw new Error(`wrap answered ${id}`)
const hits: number = cache.stats().hits
if (hits !== 2) throw new Error(`stats counted ${hits} hits`)
await cache.stop()

try {
  createRegistryCache({ defaultTtl: 0 })
} catch (error) {
  if (!(error instanceof OptionError)) throw error
  const code: string = error.code
  if (!code.startsWith('ERR_')) throw error
}
console.log(JSON.stringify(seen))
