import { AssertionError } from 'node:assert'
import * as chai from 'chai'
import { expect } from 'chai'
import express from 'express'
import supertest from 'supertest'
import { createRegistryCache } from '../../lib/index.ts'
import {
  cacheOutcome,
  createFakeClock,
  expectBypass,
  expectCached,
  expectNotCached,
  expectStale,
  expectStored,
  registryCacheChai,
} from '../../lib/testing/index.ts'
import { type Listening, listen, request } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'

chai.use(registryCacheChai)

describe('assertions on responses', () => {
  const clock = createFakeClock()
  const cache = createRegistryCache({ clock, silence: ['ERR_SCOPE_MISSING'] })
  const app = express()
  let hold: Promise<void> | undefined
  let runs = 0
  app.use((_req, res, next) => {
    res.set('Cache-Status', 'edge; fwd=miss')
    next()
  })
  app.get('/tools', cache.middleware({ type: 'tools', ttl: 20, staleWhileRevalidate: 60 }), async (_req, res) => {
    runs++
    await hold
    res.json([])
  })
  app.get(
    '/private',
    cache.middleware({ type: 'tools' }),
    (_req, res) => void res.set('Cache-Control', 'private').json([]),
  )
  app.get('/plain', (_req, res) => void res.json([]))
  let server: Listening

  before(async () => {
    server = await listen(app)
  })

  after(() => server.close())

  beforeEach(() => cache.invalidateAll())

  const get = (path: string, headers = {}) => request(server, { path, headers })

  function fails(check: () => unknown, ...words: string[]): void {
    expect(check).to.throw(Error).with.property('name', 'AssertionError')
    for (const word of words) expect(check).to.throw(word)
  }

  it('tell a hit from a miss, by what the middleware says', async () => {
    const [miss, hit] = [await get('/tools'), await get('/tools')]
    expect(cacheOutcome(miss)).to.deep.equal({ outcome: 'miss', stored: true })
    expect(expectStored(miss)).to.deep.equal(expectNotCached(miss))
    expect(expectCached(hit)).to.deep.equal({ outcome: 'hit', stored: false, ttl: 20 })
    fails(() => expectCached(miss), 'a hit', '"outcome":"miss"')
    fails(() => expectNotCached(hit), 'a miss', '"outcome":"hit"')
    fails(() => expectStale(hit))
    expect(() => expectCached(miss)).to.throw(AssertionError)
  })

  it('tell why an answer was not stored, and why the cache was left out', async () => {
    const [secret, bypass] = [await get('/private'), await get('/tools', { cookie: 'a=1' })]
    expect(cacheOutcome(secret)).to.deep.equal({ outcome: 'miss', stored: false, reason: 'private' })
    fails(() => expectStored(secret), 'private')
    expectBypass(bypass)
    expectBypass(bypass, 'cookie')
    fails(() => expectBypass(bypass, 'authorization'), 'a bypass for authorization', 'cookie')
    fails(() => expectBypass(secret))
  })

  it('tell a stale answer, and one that was waited for', async () => {
    let finish = (): void => {}
    await get('/tools')
    clock.advance(21_000)
    hold = new Promise((resolve) => {
      finish = resolve
    })
    const before = runs
    const first = get('/tools')
    await until(() => runs === before + 1)
    const stale = await get('/tools')
    finish()
    hold = undefined
    expectStale(stale)
    expect(stale).to.be.stale()
    expectNotCached(await first)
    const waited = { headers: { 'cache-status': 'registry-cache; fwd=uri-miss; collapsed', 'x-cache': 'MISS' } }
    expect(expectNotCached(waited).outcome).to.equal('collapsed')
    expect(expectStored(waited).outcome).to.equal('collapsed')
  })

  it('read responses of fetch and of supertest', async () => {
    expectStored(await supertest(server.server).get('/tools'))
    expectCached(await supertest(server.server).get('/tools'))
    expectCached(await fetch(`${server.url}/tools`))
  })

  it('say what is wrong where no cache middleware ran', async () => {
    const plain = await get('/plain')
    fails(() => cacheOutcome(plain), 'middleware', 'edge; fwd=miss')
    fails(() => expect(plain).to.be.cached(), 'middleware')
    fails(() => expect(plain).not.to.be.cached(), 'middleware')
  })

  it('are assertions of chai too', async () => {
    const [miss, hit, bypass] = [await get('/tools'), await get('/tools'), await get('/tools', { cookie: 'a=1' })]
    expect(miss).to.be.stored()
    expect(miss).not.to.be.cached()
    expect(hit).to.be.cached()
    expect(hit).not.to.be.stale()
    expect(bypass).to.be.bypassed()
    expect(bypass).to.be.bypassed('cookie')
    expect(bypass).not.to.be.bypassed('authorization')
    fails(() => expect(miss).to.be.cached(), 'a hit', '"outcome":"miss"')
    fails(() => expect(hit).not.to.be.cached(), 'a hit')
    fails(() => expect(hit).to.be.stored())
    fails(() => expect(hit).to.be.bypassed())
  })
})
