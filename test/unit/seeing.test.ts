/* Stats and events: what is counted, and that looking on costs and breaks nothing. */
import { expect } from 'chai'
import express from 'express'
import { Events } from '../../lib/events.ts'
import { type CacheEventName, createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'
import { type Listening, listen, request } from '../helpers/http.ts'

describe('stats', () => {
  it('are plain data with every member, and 0 on a fresh cache', () => {
    const stats = createRegistryCache().stats()
    expect(structuredClone(stats)).to.deep.equal(stats)
    expect(stats).to.deep.include({ bypasses: {}, notStored: {}, types: {} })
    expect(stats).to.include({ enabled: true, redisAvailable: false, entries: 0, bytes: 0, evictions: 0, stores: 0 })
    expect(stats).to.include({ invalidations: 0, coalesced: 0, stale: 0, errors: 0, hitRate: 0, redisHitRate: 0 })
  })

  it('count the invalidations of every type that is used, and of no more than a thousand that nobody uses', async () => {
    const cache = createRegistryCache({ silence: ['ERR_TYPE_TYPO'] })
    await cache.set('mine', 1)
    for (let i = 0; i < 1200; i++) await cache.invalidate(`made-up-${i}`)
    await cache.invalidate('mine')
    const { types, invalidations } = cache.stats()
    expect(Object.keys(types)).to.have.length(1000)
    expect([types.mine?.invalidations, invalidations]).to.deep.equal([1, 1201])
  })

  let clock: FakeClock
  let cache: RegistryCache
  let server: Listening
  let runs: number
  beforeEach(async () => {
    clock = createFakeClock()
    cache = createRegistryCache({ clock, silence: ['ERR_SCOPE_MISSING'] })
    runs = 0
    const app = express()
    const tools = cache.middleware({ type: 'tools', ttl: 20, staleIfError: 60, bypass: (req) => req.headers.x === '1' })
    app.get('/tools', tools, (req, res) => {
      runs++
      const { status = '200', control } = req.query as Record<string, string>
      if (control !== undefined) res.set('Cache-Control', control)
      res.status(runs > 5 && status === 'later' ? 500 : Number(status) || 200).json({ runs })
    })
    server = await listen(app)
  })
  afterEach(() => server.close())
  const get = (path = '/tools', headers = {}, method = 'GET'): Promise<unknown> =>
    request(server, { path, headers, method })

  it('have hits + misses + bypasses = requests', async () => {
    let requests = 0
    const ask = async (...args: Parameters<typeof get>): Promise<void> => {
      requests++
      await get(...args)
    }
    await ask()
    await ask()
    await ask('/tools', {}, 'HEAD')
    await ask('/tools?page=2', {}, 'HEAD')
    await ask('/tools', { x: '1' })
    await ask('/tools', { authorization: 'Bearer x' })
    await ask('/tools?control=no-store')
    await ask('/tools?status=404')
    await Promise.all(Array.from({ length: 20 }, () => ask('/tools?page=3')))
    clock.advance(20_000)
    await ask()
    const { hits, misses, bypasses, coalesced, stale } = cache.stats()
    const bypassed = Object.values(bypasses).reduce((sum, count) => sum + count, 0)
    expect(hits + misses + bypassed).to.equal(requests)
    expect(bypasses).to.deep.equal({ bypass: 1, authorization: 1 })
    expect([hits, misses, coalesced, stale]).to.deep.equal([2 + (20 - 1 - coalesced), 6 + coalesced, coalesced, 0])
    expect(cache.stats().notStored).to.include({ 'no-store': 1, status: 1 })
  })

  it('count a stale answer as a hit, too', async () => {
    await get('/tools?status=later')
    runs = 5
    clock.advance(20_000)
    await get('/tools?status=later')
    const { hits, misses, stale } = cache.stats()
    expect(stale).to.equal(1)
    expect(hits + misses).to.equal(2)
  })

  it('lose their counters to resetStats, and nothing else', async () => {
    await get()
    await get()
    await get('/tools', { x: '1' })
    await get('/tools?status=404')
    await cache.invalidate('prompts')
    const { entries, bytes, ttls } = cache.stats()
    cache.resetStats()
    const zeroed = cache.stats()
    const counters = ['hits', 'misses', 'stores', 'invalidations', 'evictions', 'coalesced', 'stale', 'errors'] as const
    for (const name of counters) expect(zeroed[name], name).to.equal(0)
    expect(zeroed).to.deep.include({ bypasses: {}, notStored: {}, entries, bytes, ttls, hitRate: 0 })
    expect(zeroed.types.tools).to.include({ hits: 0, misses: 0, bypasses: 0, entries: 1 })
    const before = runs
    await get()
    expect([runs, cache.stats().hits]).to.deep.equal([before, 1])
  })

  it('count evictions and bytes within the bounds', async () => {
    const small = createRegistryCache({ memory: { maxEntries: 3 } })
    for (let n = 0; n < 5; n++) await small.set('tools', n, { n })
    expect(small.stats()).to.include({ entries: 3, evictions: 2, stores: 5 })
  })
})

describe('events', () => {
  it('tell a request by hit, miss, store, bypass, invalidate and evict', async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock, memory: { maxEntries: 1 } })
    const seen: string[] = []
    for (const name of [
      'hit',
      'miss',
      'store',
      'bypass',
      'invalidate',
      'evict',
      'stale',
      'error',
    ] as CacheEventName[]) {
      cache.on(name, (event: object) => {
        const { type, tag, reason } = event as { type?: string; tag?: string; reason?: string }
        seen.push([name, type ?? tag ?? '', ...(reason ? [reason] : [])].join(' '))
      })
    }
    const app = express()
    const tools = cache.middleware({ type: 'tools', bypass: (req: express.Request) => req.query.bypass !== undefined })
    app.get('/', tools, (_req, res) => void res.json([]))
    const server = await listen(app)
    for (const path of ['/', '/', '/?bypass', '/?n=2']) await request(server, { path })
    await cache.invalidate('servers')
    await server.close()
    expect(seen).to.deep.equal([
      'miss tools',
      'store tools',
      'hit tools',
      'bypass tools bypass',
      'miss tools',
      'evict tools',
      'store tools',
      'invalidate registry:servers',
    ])
  })

  it('say of a hit what was asked and what was answered', async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock })
    const hits: object[] = []
    cache.on('hit', (event) => hits.push(event))
    const app = express().use(
      '/v1',
      express.Router().get('/tools', cache.middleware({ type: 'tools' }), (_req, res) => void res.json([1])),
    )
    const server = await listen(app)
    await request(server, { path: '/v1/tools?a=1' })
    clock.advance(3000)
    await request(server, { path: '/v1/tools?a=1' })
    await server.close()
    expect(hits).to.have.length(1)
    const { key, ...rest } = hits[0] as { key: string }
    expect(key).to.match(/^tools:[0-9a-f]{32}$/)
    expect(rest).to.deep.equal({
      type: 'tools',
      tier: 'memory',
      ageMs: 3000,
      method: 'GET',
      url: '/v1/tools?a=1',
      status: 200,
      bytes: 3,
      durationMs: 0,
      via: 'route',
    })
  })

  it('cost nothing without a listener: none is built', () => {
    const events = new Events()
    expect(events.has('hit')).to.equal(false)
    const listener = (): void => {}
    events.on('hit', listener)
    events.on('hit', listener)
    events.off('hit', listener)
    expect(events.has('hit')).to.equal(true)
    events.off('hit', listener)
    events.off('hit', listener)
    expect([events.has('hit'), events.has('error')]).to.deep.equal([false, false])
    // The name that node:events throws for when nobody listens.
    events.emit('error', new Error('nobody minds') as never)
  })

  it('break no request when a listener throws: its error is an uncaught exception of its own', async () => {
    const cache = createRegistryCache()
    const thrown = new Error('a bad listener')
    cache.on('miss', () => {
      throw thrown
    })
    cache.on('store', () => {
      throw thrown
    })
    const app = express().get('/', cache.middleware({ type: 'tools' }), (_req, res) => void res.json({ ok: true }))
    const server = await listen(app)
    const caught = await uncaughtDuring(async () => {
      const answer = await request(server)
      expect([answer.status, answer.json()]).to.deep.equal([200, { ok: true }])
    })
    expect(caught).to.deep.equal([thrown, thrown])
    expect((await request(server)).headers['x-cache']).to.equal('HIT')
    await server.close()
  })
})

/** Mocha's own listeners step aside meanwhile. */
async function uncaughtDuring(run: () => Promise<void>): Promise<unknown[]> {
  const caught: unknown[] = []
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => caught.push(error))
  try {
    await run()
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const other of others) process.on('uncaughtException', other)
  }
  return caught
}
