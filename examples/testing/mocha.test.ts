import * as chai from 'chai'
import express from 'express'
import { createRegistryCache, type RegistryCache } from 'express-registry-cache'
import { createFakeClock, createFakeRedis, registryCacheChai } from 'express-registry-cache/testing'
import { describe, it } from 'mocha'
import supertest from 'supertest'

chai.use(registryCacheChai)
const { expect } = chai

/** The application under test takes its cache and its data. */
function createApp(cache: RegistryCache, tools: string[]): express.Express {
  const app = express()
  const cached = cache.middleware({ type: 'tools', ttl: 20 })
  app.use('/tools', cached, cached.invalidateOn())
  app.get('/tools', (_req, res) => void res.json(tools))
  app.post('/tools', express.json(), (req, res) => {
    tools.push(req.body.name)
    res.status(201).json(req.body)
  })
  return app
}

describe('two workers of one application', () => {
  it('show a write to each other at once, and an old list for 5 seconds where its message is lost', async () => {
    const clock = createFakeClock()
    const redis = createFakeRedis({ clock })
    const tools = ['hammer']
    const caches = [1, 2].map(() => createRegistryCache({ redis: redis.client(), clock, maxStaleness: 5 }))
    await Promise.all(caches.map((cache) => cache.start()))
    const [one, two] = caches.map((cache) => supertest(createApp(cache, tools))) as [supertest.Agent, supertest.Agent]

    expect(await one.get('/tools')).to.be.stored()
    expect(await two.get('/tools')).to.be.cached() // out of Redis

    await one.post('/tools').send({ name: 'saw' })
    const after = await two.get('/tools')
    expect(after).not.to.be.cached()
    expect(after.body).to.deep.equal(['hammer', 'saw'])

    redis.bus.drop()
    await one.post('/tools').send({ name: 'plane' })
    expect((await one.get('/tools')).body).to.include('plane') // its own write
    expect(await two.get('/tools')).to.be.cached()
    clock.advance(5_000)
    expect((await two.get('/tools')).body).to.include('plane')

    await Promise.all(caches.map((cache) => cache.stop()))
  })
})
