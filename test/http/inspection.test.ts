/*
 * What operators see of a worker: its entries, one at a time and by the page, its routes and what a URL would meet there.
 */
import { createServer } from 'node:http'
import { expect } from 'chai'
import { createRegistryCache, type EntryInfo, OptionError, type RegistryCache } from '../../lib/index.ts'
import { forEachExpress, listen, request } from '../helpers/http.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { applications } from './fixture.ts'

const tenantOf = (req: { headers: Record<string, unknown> }): string | undefined =>
  typeof req.headers['x-tenant'] === 'string' ? req.headers['x-tenant'] : undefined

const DOWN = ['ERR_REDIS_UNAVAILABLE']

function refusal(run: () => unknown): [code: string, option: string] | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    if (error instanceof OptionError) return [error.code, error.option]
    throw error
  }
}

describe('entries', () => {
  forEachExpress((_name, framework) => {
    const start = applications()

    it('are listed with the URL that made them, their age, what is left of their life, and their hits', async () => {
      const { cache, clock, get } = await start(framework, ({ app, cached }) => {
        app.get('/tools', cached({ ttl: 20, scope: 'public' }), (_req, res) => void res.json(['a']))
      })
      await get('/tools?page=2')
      clock.advance(5000)
      await get('/tools?page=2')
      await get('/tools?page=2')
      const { entries, total, matched, complete } = cache.entries()
      const [row] = entries
      expect([entries.length, total, matched, complete]).to.deep.equal([1, 1, 1, true])
      expect(row).to.deep.include({ type: 'tools', url: '/tools?page=2', kind: 'response', status: 200, hits: 2 })
      expect(row).to.deep.include({ ageSeconds: 5, ttlSeconds: 15, scope: 'public', valid: true })
      expect(row?.key).to.match(/^mcpgw:registry:tools:[0-9a-f]{32}$/)
      expect(row?.bytes).to.equal(cache.stats().types.tools?.bytes)
    })

    it('count the bytes of the URL and of the scope that they keep', async () => {
      const { cache, get } = await start(framework, ({ app, cached }) => {
        app.get('/tools', cached({ query: { ignore: ['x'] }, scope: tenantOf }), (_req, res) => void res.json(['a']))
      })
      await get('/tools', { 'x-tenant': 'a' })
      const short = cache.entries().entries[0] as EntryInfo
      await cache.evict(short.key)
      await get(`/tools?x=${'y'.repeat(1000)}`, { 'x-tenant': 'a'.repeat(1001) })
      expect((cache.entries().entries[0]?.bytes ?? 0) - short.bytes).to.equal(2 * (1000 + '?x='.length + 1000))
    })

    it('tell callers apart without saying who they are', async () => {
      const { cache, get } = await start(framework, ({ app, cached }) => {
        app.get('/tools', cached({ scope: tenantOf }), (_req, res) => void res.json(['a']))
      })
      for (const [path, tenant] of [
        ['/tools', 'acme'],
        ['/tools?n=2', 'acme'],
        ['/tools', 'public'],
      ] as const) {
        await get(path, { 'x-tenant': tenant })
      }
      const scopes = cache.entries().entries.map(({ scope }) => scope)
      expect(new Set(scopes).size).to.equal(2)
      for (const scope of scopes) expect(scope).to.match(/^[0-9a-f]{8}$/)
    })

    it('of a worker that found them in Redis name the URL that they were asked for by', async function () {
      this.timeout(20_000)
      const redis = await startRedis()
      try {
        const caches = [1, 2].map(() => createRegistryCache({ redis: redis.client(), redisTimeout: 5 }))
        for (const cache of caches) {
          await cache.start()
          await until(() => cache.stats().subscribed)
          const app = framework()
          app.get('/tools', cache.middleware({ type: 'tools', scope: 'public' }), (_req, res) => void res.json([1]))
          const listening = await listen(app)
          const answer = await request(listening, { path: '/tools?page=7' })
          await listening.close()
          const { key } = cache.entries().entries[0] as EntryInfo
          await until(async () => (await redis.command('EXISTS', key)) === 1)
          expect(answer.status).to.equal(200)
        }
        const [, second] = caches
        expect(second?.stats().redisHits).to.equal(1)
        expect(second?.entries().entries[0]).to.include({ url: '/tools?page=7', hits: 1, scope: 'public' })
        for (const cache of caches) await cache.stop()
      } finally {
        await redis.stop()
      }
    })
  })

  it('are counted hits at the front door too, and as values', async () => {
    const cache = createRegistryCache()
    const { express5 } = await import('../helpers/http.ts')
    const app = express5()
    app.get(
      '/tools',
      cache.middleware({ type: 'tools', scope: 'public', front: true }),
      (_req, res) => void res.json([1]),
    )
    const listening = await listen(createServer(cache.front(app)))
    const via: unknown[] = []
    cache.on('hit', (hit) => via.push(hit.via))
    for (let n = 0; n < 3; n++) await request(listening, { path: '/tools' })
    await listening.close()
    await cache.set('prompts', { a: 1 })
    await cache.get('prompts')
    const { entries } = cache.entries()
    expect(entries.map(({ type, kind, hits, url }) => [type, kind, hits, url])).to.deep.equal([
      ['prompts', 'value', 1, undefined],
      ['tools', 'response', 2, '/tools'],
    ])
    expect(via).to.deep.equal(['front', 'front', undefined])
  })

  async function filled(count: number, types = ['tools', 'prompts']): Promise<RegistryCache> {
    const cache = createRegistryCache({ memory: { maxEntries: 100_000 } })
    for (let n = 0; n < count; n++) for (const type of types) await cache.set(type, n, { n })
    return cache
  }

  it('come by the page, each once, whatever is used and added between two pages', async () => {
    const cache = await filled(60)
    const before = new Set(cache.entries({ limit: 500 }).entries.map(({ key }) => key))
    const seen: string[] = []
    let cursor: string | undefined
    for (let page = 0; page < 20; page++) {
      const { entries, cursor: next } = cache.entries({ limit: 25, cursor })
      seen.push(...entries.map(({ key }) => key))
      await cache.get('tools', { n: page })
      await cache.set('agents', page, { page })
      cursor = next
      if (cursor === undefined) break
    }
    expect(cursor, 'the last page has no cursor').to.equal(undefined)
    expect(seen.length).to.equal(new Set(seen).size)
    expect(seen.filter((key) => before.has(key)).length).to.equal(before.size)
  })

  it('are found by type, and by a part of key or URL in whichever case', async () => {
    const cache = await filled(3)
    const [one] = cache.entries({ type: 'prompts' }).entries as [EntryInfo]
    expect(cache.entries({ type: 'prompts' })).to.include({ matched: 3, total: 6 })
    const hash = one.key.slice(-32)
    expect(cache.entries({ search: hash.toUpperCase() }).entries.map(({ key }) => key)).to.include(one.key)
    expect(cache.entries({ search: 'no such thing' }).entries).to.deep.equal([])
    expect(cache.entries({ type: 'nothing-of-it' }).matched).to.equal(0)
  })

  it('of a large memory are looked at up to a bound, of each type the ones used last', async () => {
    const cache = await filled(6000)
    const page = cache.entries({ limit: 500 })
    expect(page).to.include({ total: 12_000, complete: false, matched: 10_000 })
    expect(cache.entries({ type: 'tools' })).to.include({ matched: 6000, complete: true })
    const types = new Set(cache.entries({ limit: 500, cursor: page.cursor }).entries.map(({ type }) => type))
    expect([...types]).to.deep.equal(['prompts'])
  })

  it('are not counted as used because somebody looked', async () => {
    const cache = createRegistryCache({ memory: { maxEntries: 2 } })
    await cache.set('tools', 'old', { n: 1 })
    await cache.set('tools', 'new', { n: 2 })
    for (const { key } of cache.entries().entries) cache.preview(key)
    await cache.set('tools', 'third', { n: 3 })
    expect(await cache.get('tools', { n: 1 })).to.equal(undefined)
    expect(await cache.get('tools', { n: 2 })).to.equal('new')
  })

  it('say that an invalidation of a tag has overtaken them', async () => {
    const cache = createRegistryCache()
    await cache.set('tools', 1, {}, { tags: ['team:1'] })
    await cache.invalidate({ tag: 'team:1' })
    expect(cache.entries().entries.map(({ valid }) => valid)).to.deep.equal([false])
  })

  it('refuse a query that means nothing', () => {
    const cache = createRegistryCache()
    expect(refusal(() => cache.entries({ limit: 501 }))).to.deep.equal(['ERR_OPTION_RANGE', 'limit'])
    expect(refusal(() => cache.entries({ cursor: 'x' }))).to.deep.equal(['ERR_OPTION_RANGE', 'cursor'])
    expect(refusal(() => cache.entries({ type: 'a b' }))).to.deep.equal(['ERR_TYPE_NAME', 'type'])
    expect(refusal(() => cache.entries({ search: 1 as never }))).to.deep.equal(['ERR_OPTION_TYPE', 'search'])
    expect(refusal(() => cache.entries({ typ: 'tools' } as never))).to.deep.equal(['ERR_OPTION_UNKNOWN', 'typ'])
    for (const key of ['', 'tools', 'mcpgw:registry:tools:@epoch', 'mcpgw:registry:tools:12', 7]) {
      expect(refusal(() => cache.preview(key as never))).to.deep.equal(['ERR_ENTRY_KEY', 'key'])
    }
  })
})

describe('a preview', () => {
  it('shows the beginning of the body, without half a character, and the headers of the route', async () => {
    const cache = createRegistryCache()
    await cache.set('tools', 'aé')
    const { key } = cache.entries().entries[0] as EntryInfo
    expect(cache.preview(key, 3)).to.deep.equal({
      key,
      contentType: 'application/json',
      body: '"a',
      bytes: 5,
      cut: true,
      headers: {},
    })
    expect(cache.preview(key)).to.include({ body: '"aé"', cut: false })
    expect(cache.preview(`tools:${key.slice(-32)}`)?.key, 'as events name it').to.equal(key)
    expect(cache.preview(`tools:${'0'.repeat(32)}`)).to.equal(undefined)
  })
})

describe('evict', () => {
  it('removes one entry from memory, and says when there was none', async () => {
    const cache = createRegistryCache()
    await cache.set('tools', 1)
    const { key } = cache.entries().entries[0] as EntryInfo
    expect(await cache.evict(key)).to.deep.equal({ key, memory: true })
    expect(await cache.evict(key)).to.deep.equal({ key, memory: false })
    expect(cache.stats().bytes).to.equal(0)
  })

  it('removes it from Redis too, and leaves the other workers theirs', async function () {
    this.timeout(20_000)
    const redis = await startRedis()
    try {
      const [one, two] = [1, 2].map(() =>
        createRegistryCache({ redis: redis.client(), redisTimeout: 5, silence: DOWN }),
      )
      if (!one || !two) throw new Error('two caches were made')
      await one.set('tools', 'a')
      const { key } = one.entries().entries[0] as EntryInfo
      await until(async () => (await two.get('tools')) === 'a')
      expect(await one.evict(key)).to.deep.equal({ key, memory: true, redis: true })
      expect(await one.evict(key)).to.deep.equal({ key, memory: false, redis: false })
      expect(await one.get('tools')).to.equal(undefined)
      expect(await two.get('tools')).to.equal('a')
      await redis.kill()
      expect(await two.evict(key), 'while Redis is down').to.deep.equal({ key, memory: true })
      await one.stop()
      await two.stop()
    } finally {
      await redis.stop()
    }
  })
})

describe('describe', () => {
  it('tells types with those that depend on them, and the epochs that this worker knows', async () => {
    const cache = createRegistryCache({ types: { tools: 7 }, prefix: 'p:' })
    await cache.set('tools', 1)
    const { types, epochs, prefix, worker, version } = cache.describe()
    expect(types.find(({ type }) => type === 'tools')).to.deep.equal({
      type: 'tools',
      ttlSeconds: 7,
      dependsOn: ['gateways', 'agents'],
      dependents: ['servers'],
    })
    expect(prefix).to.equal('p:')
    expect(worker).to.match(/^[0-9a-f]{12}$/)
    const { version: own } = await import('express-registry-cache/package.json', { with: { type: 'json' } }).then(
      (imported) => imported.default as { version: string },
    )
    expect(version).to.equal(own)
    expect(epochs.total).to.equal(2)
    expect(epochs.shown.map(({ tag, known, pending }) => [tag, known, pending])).to.deep.equal([
      ['registry:', true, false],
      ['registry:tools', true, false],
    ])
  })

  it('shows a bounded number of epochs', async () => {
    const cache = createRegistryCache()
    for (let n = 0; n < 300; n++) await cache.invalidate({ tag: `team:${n}` })
    const { total, shown } = cache.describe().epochs
    expect([total, shown.length]).to.deep.equal([300, 200])
  })
})

describe('explainRoute', () => {
  forEachExpress((_name, framework) => {
    const start = applications()

    it('finds the entry of a URL on a route behind a router, parsed as the application does', async () => {
      const { cache, get } = await start(framework, ({ app, cached }) => {
        app.set('query parser', 'extended')
        const router = framework.Router()
        router.get('/', cached({ scope: 'public' }), (_req, res) => void res.json([1]))
        app.use('/orgs/:org/tools', router)
      })
      await get('/orgs/1/tools?filter[a]=1')
      const [route] = cache.describe().routes
      expect(route).to.deep.equal({
        id: 'tools 1',
        type: 'tools',
        scope: 'public',
        front: false,
        lastUrl: '/orgs/1/tools?filter[a]=1',
      })
      const hit = cache.explainRoute('tools 1', { url: '/orgs/1/tools?filter%5Ba%5D=1' })
      expect(hit.explanation).to.include({ outcome: 'hit', key: cache.entries().entries[0]?.key })
      const miss = cache.explainRoute('tools 1', { url: 'http://127.0.0.1/orgs/2/tools?filter[a]=1#top' })
      expect(miss.explanation.outcome).to.equal('miss')
      await get('/orgs/2/tools?filter[a]=1')
      const now = cache.explainRoute('tools 1', { url: '/orgs/2/tools?filter[a]=1' })
      expect(now.explanation.outcome).to.equal('hit')
    })

    it('gives scope functions the headers, and the methods of a request', async () => {
      const { cache, get } = await start(framework, ({ app, cached }) => {
        app.get(
          '/a',
          cached({ scope: (req: never) => (req as { get(name: string): string }).get('X-Tenant') }),
          (_, res) => void res.json([1]),
        )
      })
      await get('/a', { 'x-tenant': 'acme' })
      const ask = (headers: Record<string, string>): unknown =>
        cache.explainRoute(undefined, { url: '/a', headers }).explanation.outcome
      expect([ask({ 'X-Tenant': 'acme' }), ask({ 'X-Tenant': 'other' }), ask({})]).to.deep.equal([
        'hit',
        'miss',
        'bypass',
      ])
      expect(cache.stats().errors, 'looking on is no error of the application').to.equal(0)
    })

    it('without an id takes the route whose last request looks most like this one', async () => {
      const { cache, get } = await start(framework, ({ app, cached }) => {
        app.get('/tools', cached({ scope: 'public' }), (_req, res) => void res.json([1]))
        app.get('/tools/:id', cached({ scope: 'public' }), (_req, res) => void res.json([1]))
        app.get('/prompts', cached({ scope: 'public', type: 'prompts' }), (_req, res) => void res.json([1]))
      })
      expect(refusal(() => cache.explainRoute(undefined, { url: '/tools' }))).to.deep.equal(['ERR_ROUTE_ID', 'route'])
      for (const path of ['/tools', '/tools/3', '/prompts']) await get(path)
      const routeOf = (url: string): string => cache.explainRoute(undefined, { url }).route
      expect(['/tools?a', '/tools/7', '/prompts'].map(routeOf)).to.deep.equal(['tools 1', 'tools 2', 'prompts 3'])
      expect(refusal(() => routeOf('/elsewhere'))).to.deep.equal(['ERR_ROUTE_ID', 'route'])
    })
  })

  it('refuses what is no request', () => {
    const cache = createRegistryCache()
    cache.middleware({ type: 'tools' })
    const refused = (request: unknown): unknown => refusal(() => cache.explainRoute('tools 1', request as never))
    expect(refused({ url: 'tools' })).to.deep.equal(['ERR_OPTION_TYPE', 'request.url'])
    expect(refused({ url: '/a b' })).to.deep.equal(['ERR_OPTION_TYPE', 'request.url'])
    expect(refused({})).to.deep.equal(['ERR_OPTION_TYPE', 'request.url'])
    expect(refused({ url: '/', method: 'G T' })).to.deep.equal(['ERR_OPTION_TYPE', 'request.method'])
    expect(refused({ url: '/', headers: { a: 1 } })).to.deep.equal(['ERR_OPTION_TYPE', 'request.headers.a'])
    expect(refused(null)).to.deep.equal(['ERR_OPTION_TYPE', 'request'])
    expect(refused({ url: '/' })).to.equal(undefined)
    expect(refusal(() => cache.explainRoute('tools 2', { url: '/' }))).to.deep.equal(['ERR_ROUTE_ID', 'route'])
  })
})
