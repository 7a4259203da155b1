import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { expect } from 'chai'
import cors from 'cors'
import { createRegistryCache, type HitEvent, OptionError, type RegistryCache } from '../../lib/index.ts'
import { forEachExpress, type Listening, listen, request } from '../helpers/http.ts'

type Middleware = (req: IncomingMessage, res: ServerResponse, next: () => void) => void

/** A middleware that sets these headers on each request. */
function setting(headersOf: (req: IncomingMessage) => Record<string, string>): Middleware {
  return (req, res, next) => {
    for (const [name, value] of Object.entries(headersOf(req))) res.setHeader(name, value)
    next()
  }
}

describe('the front door', () => {
  forEachExpress((_name, express) => {
    let cache: RegistryCache
    let served: Listening
    let handlerRuns: number
    let middlewareRuns: number
    const items = ['a']

    const serve = async (
      configure: (app: ReturnType<typeof express>) => void,
      options: Partial<Parameters<RegistryCache['middleware']>[0]> = {},
    ): Promise<void> => {
      cache = createRegistryCache()
      handlerRuns = 0
      middlewareRuns = 0
      const app = express()
      app.use((_req, _res, next) => {
        middlewareRuns++
        next()
      })
      configure(app)
      const tools = cache.middleware({ type: 'tools', scope: 'public', front: true, ...options })
      app.get('/tools', tools, (req, res) => {
        handlerRuns++
        res.set('X-Route', 'r').json({ items, query: req.query })
      })
      app.post('/tools', tools.invalidateOn(), (_req, res) => {
        items.push('b')
        res.status(201).json({})
      })
      served = await listen(createServer(cache.front(app)))
    }

    afterEach(async () => {
      items.length = 1
      await served.close()
      await cache.stop()
    })

    it('answers a hit with the same bytes and head as the route, before any middleware', async () => {
      await serve((app) => app.use(setting(() => ({ 'X-Middleware': 'm' }))))
      const hits: HitEvent[] = []
      const miss = await request(served.port, { path: '/tools?a=1' })
      cache.on('hit', (hit) => hits.push(hit))
      const hit = await request(served.port, { path: '/tools?a=1' })
      expect(middlewareRuns).equal(1)
      expect(handlerRuns).equal(1)
      expect(hit.body.equals(miss.body)).equal(true)
      expect(hit.status).equal(200)
      for (const name of [
        'etag',
        'content-type',
        'content-length',
        'date',
        'x-route',
        'x-middleware',
        'x-powered-by',
      ]) {
        expect(hit.headers[name], name).equal(miss.headers[name])
      }
      expect(hit.headers['x-cache']).equal('HIT')
      expect(hits).to.have.length(1)
      expect(hits[0]).to.include({
        method: 'GET',
        url: '/tools?a=1',
        status: 200,
        via: 'front',
        bytes: miss.body.byteLength,
      })
      expect(cache.stats()).to.include({ hits: 1, misses: 1 })
    })

    it('lets Express answer after an invalidation, and shows the write', async () => {
      await serve(() => {})
      await request(served.port, { path: '/tools' })
      await request(served.port, { method: 'POST', path: '/tools' })
      const after = await request(served.port, { path: '/tools' })
      expect(after.headers['x-cache']).equal('MISS')
      expect(after.json()).deep.equal({ items: ['a', 'b'], query: {} })
    })

    it('answers conditional requests and HEAD', async () => {
      await serve(() => {})
      const miss = await request(served.port, { path: '/tools' })
      const headers = { 'if-none-match': `"x", ${miss.headers.etag}` }
      const conditional = await request(served.port, { path: '/tools', headers })
      expect(conditional.status).equal(304)
      expect(conditional.headers).not.to.have.property('content-length')
      const head = await request(served.port, { method: 'HEAD', path: '/tools' })
      expect(head.headers['content-length']).equal(String(miss.body.byteLength))
      expect(middlewareRuns).equal(1)
    })

    it('keeps the heads of several origins apart', async () => {
      await serve((app) => app.use(cors({ origin: true, credentials: true })))
      const from = (origin: string): ReturnType<typeof request> =>
        request(served.port, { path: '/tools', headers: { origin } })
      await from('http://a.example')
      const b = await from('http://b.example')
      const a = await from('http://a.example')
      const bAgain = await from('http://b.example')
      expect(a.headers['access-control-allow-origin']).equal('http://a.example')
      expect(b.headers['access-control-allow-origin']).equal('http://b.example')
      expect(bAgain.headers['access-control-allow-origin']).equal('http://b.example')
      expect(handlerRuns).equal(1)
      expect(middlewareRuns).equal(2)
    })

    it('never replays a header that is to be dropped', async () => {
      let n = 0
      const ids = setting(() => ({ 'X-Request-Id': String(++n), 'X-Kept': String(n) }))
      await serve((app) => app.use(ids), { front: { drop: ['X-Request-Id'] } })
      await request(served.port, { path: '/tools' })
      const hit = await request(served.port, { path: '/tools' })
      expect(middlewareRuns).equal(1)
      expect(hit.headers).not.to.have.property('x-request-id')
      expect(hit.headers['x-kept']).equal('1')
    })

    it('never replays a cookie that a middleware set on the hit whose head it keeps', async () => {
      let cookies = 0
      const sometimes = setting((req) => (req.headers['x-login'] ? { 'Set-Cookie': `sid=${++cookies}` } : {}))
      await serve((app) => app.use(sometimes))
      const get = (headers: Record<string, string>): ReturnType<typeof request> =>
        request(served.port, { path: '/tools', headers })
      await request(served.port, { path: '/tools', headers: { host: 'first.example' } })
      const login = await get({ 'x-login': 'yes' })
      const next = await get({})
      expect(login.headers['set-cookie']).deep.equal(['sid=1'])
      expect(next.headers).not.to.have.property('set-cookie')
      expect([handlerRuns, middlewareRuns]).deep.equal([1, 2])
    })

    it('asks the scope on every hit: it is the authentication there', async () => {
      const seen: unknown[] = []
      await serve(() => {}, {
        scope: (req) => {
          seen.push(req.headers['x-team'])
          const team = req.headers['x-team']
          if (team === 'broken') throw new Error('no')
          return typeof team === 'string' ? team : undefined
        },
      })
      const as = (team?: string): ReturnType<typeof request> =>
        request(served.port, { path: '/tools', headers: team ? { 'x-team': team } : {} })
      await as('red')
      await as('red')
      expect([handlerRuns, middlewareRuns]).deep.equal([1, 1])
      await as('blue')
      expect([handlerRuns, middlewareRuns]).deep.equal([2, 2])
      await as()
      await as('broken')
      expect([handlerRuns, middlewareRuns]).deep.equal([4, 4])
      expect(seen.length).greaterThanOrEqual(5)
    })

    it('learns no URL that a middleware has rewritten', async () => {
      await serve((app) => {
        app.use((req, _res, next) => {
          req.url = `/of/${String(req.headers['x-tenant'])}`
          next()
        })
        app.get('/of/:tenant', cache.middleware({ type: 'tools', scope: 'public', front: true }), (req, res) => {
          res.json({ of: req.params.tenant })
        })
      })
      const as = (tenant: string): ReturnType<typeof request> =>
        request(served.port, { path: '/tools', headers: { 'x-tenant': tenant } })
      await as('acme')
      await as('acme')
      expect((await as('globex')).json()).deep.equal({ of: 'globex' })
    })

    it('learns no URL whose query a middleware has changed', async () => {
      await serve((app) =>
        app.use((req, _res, next) => {
          const tenant = req.headers['x-tenant']
          Object.defineProperty(req, 'query', {
            value: { tenant },
            configurable: true,
            enumerable: true,
            writable: true,
          })
          next()
        }),
      )
      const as = (tenant: string): ReturnType<typeof request> =>
        request(served.port, { path: '/tools', headers: { 'x-tenant': tenant } })
      await as('acme')
      await as('acme')
      expect((await as('globex')).json()).deep.equal({ items: ['a'], query: { tenant: 'globex' } })
    })

    it('keeps no more of random URLs and origins than L1 may hold, and leaves the entries of others', async () => {
      await serve((app) => app.use(cors({ origin: true })))
      const maxBytes = 256 * 1024
      await cache.stop()
      cache = createRegistryCache({ memory: { maxBytes } })
      await served.close()
      const app = express()
      app.use(cors({ origin: true }))
      const handler = cache.middleware({ type: 'tools', scope: 'public', front: true })
      app.get('/tools', handler, (_req, res) => void res.json({ ok: true }))
      app.get('/prompts', cache.middleware({ type: 'prompts', scope: 'public' }), (_req, res) => void res.json({}))
      served = await listen(createServer(cache.front(app)))
      await request(served.port, { path: '/prompts' })
      for (let i = 0; i < 300; i++) {
        const origin = `http://${'x'.repeat(i % 2 ? 400 : 4000)}${i % 7}`
        await request(served.port, { path: `/tools?x=${'y'.repeat(1000)}${i}`, headers: { origin } })
      }
      expect(cache.stats().bytes).lessThanOrEqual(maxBytes)
      expect((await request(served.port, { path: '/prompts' })).headers['x-cache']).equal('HIT')
    })

    it('is by Host: the same path on another one goes through Express first', async () => {
      await serve(() => {})
      await request(served.port, { path: '/tools', headers: { host: 'one.example' } })
      await request(served.port, { path: '/tools', headers: { host: 'two.example' } })
      expect(middlewareRuns).equal(2)
      await request(served.port, { path: '/tools', headers: { host: 'two.example' } })
      expect(middlewareRuns).equal(2)
    })
  })

  it('needs a scope', () => {
    const cache = createRegistryCache()
    expect(() => cache.middleware({ type: 'tools', front: true }))
      .to.throw(OptionError)
      .with.property('code', 'ERR_OPTION_CONFLICT')
    expect(() => cache.front(5 as never)).to.throw(OptionError)
  })
})
