/*
 * The options of a cached route, and what Cache-Status (RFC 9211), X-Cache and the counters say of each outcome.
 */
import { expect } from 'chai'
import type { Request, Response } from 'express'
import type { CacheMiddlewareOptions } from '../../lib/index.ts'
import { type Answer, forEachExpress } from '../helpers/http.ts'
import { applications, type Started } from './fixture.ts'

/** One member of the list that Cache-Status is (RFC 9211 section 2): a cache and its parameters. Throws on anything else. */
function parseCacheStatus(value: string): Record<string, string | number | true> {
  const token = /^[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*/
  const name = token.exec(value)?.[0]
  if (name === undefined) throw new Error(`no token: ${value}`)
  const parameters: Record<string, string | number | true> = { cache: name }
  let rest = value.slice(name.length)
  while (rest !== '') {
    const match =
      /^; ?([a-z*][a-z0-9_.*-]*)(?:=(-?\d{1,15}(?![.\d])|"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*))?/.exec(
        rest,
      )
    if (match === null) throw new Error(`no parameter: ${rest}`)
    const [whole, key = '', given] = match
    parameters[key] = given === undefined ? true : /^-?\d/.test(given) ? Number(given) : given
    rest = rest.slice(whole.length)
  }
  if ('hit' in parameters && 'fwd' in parameters) throw new Error('hit and fwd exclude each other')
  const reasons = ['bypass', 'method', 'uri-miss', 'vary-miss', 'miss', 'request', 'stale', 'partial', undefined]
  if (!reasons.includes(parameters.fwd as string | undefined))
    throw new Error(`no reason of RFC 9211: ${parameters.fwd}`)
  return parameters
}

forEachExpress((name, framework) => {
  describe('options of a cached route', () => {
    const start = applications()

    type Handler = (res: Response, run: number, req: Request) => unknown

    async function route(
      options: Partial<CacheMiddlewareOptions>,
      handler: Handler = (res, run) => res.json({ run }),
      cacheOptions = {},
    ): Promise<Started & { readonly runs: () => number }> {
      let runs = 0
      const started = await start(
        framework,
        ({ app, cached }) => {
          app.get(['/x', '/y'], cached(options), (req, res) => handler(res, ++runs, req) as undefined)
        },
        cacheOptions,
      )
      return { ...started, runs: () => runs }
    }

    const outcome = (answer: Answer): [unknown, unknown] => [
      answer.headers['x-cache'],
      parseCacheStatus(String(answer.headers['cache-status'])),
    ]

    describe('query', () => {
      const pairs: [string, string, boolean][] = [
        ['?a=1&b=2', '?b=2&a=1', true],
        ['?a=1', '?a=2', false],
        ['?a=1', '?A=1', false],
        ['?a=1', '', false],
        ['?a=', '?a', true],
        ['?a=1&a=2', '?a=2&a=1', false],
        ['?a=1&a=2', '?a=1,2', false],
        ['?a=1', '?a=1&a=', false],
        ['?a[]=1', '?a=1', false],
        ['?a=%20', '?a=+', true],
        ['?filter[a]=1', '?filter[a]=2', false],
        ['?filter[a]=1', '?filter[b]=1', false],
        ['?a=1%26b=2', '?a=1&b=2', false],
        // qs, the parser of Express 4, drops it; that of Express 5 takes it for a parameter like any other.
        ['?__proto__=1', '', name === 'Express 4'],
        ['?', '', true],
      ]
      for (const [one, other, same] of pairs) {
        it(`${same ? 'takes' : 'does not take'} ${one} for ${other || 'no query'}`, async () => {
          const { get, runs } = await route({}, (res, _run, req) => res.json(req.query))
          const first = await get(`/x${one}`)
          const second = await get(`/x${other}`)
          expect(runs()).to.equal(same ? 1 : 2)
          if (same) expect(second.text).to.equal(first.text)
        })
      }

      it('takes different paths, and one path in two cases or with a trailing slash, for different keys', async () => {
        const { get, runs } = await route({})
        for (const path of ['/x', '/y', '/X', '/x/']) await get(path)
        expect(runs()).to.equal(4)
        for (const path of ['/x', '/y', '/X', '/x/']) expect((await get(path)).headers['x-cache']).to.equal('HIT')
      })

      it('bypasses for a parameter that is not allowed, and stores nothing of it', async () => {
        const { get, runs, cache } = await route({ query: { allow: ['page'] } })
        await get('/x?page=1')
        for (const path of ['/x?page=1&x=1', '/x?x=2', '/x?PAGE=1', '/x?page[a]=1&y']) {
          expect(outcome(await get(path))).to.deep.equal([
            'BYPASS',
            { cache: 'registry-cache', fwd: 'bypass', detail: 'query' },
          ])
        }
        expect((await get('/x?page=1')).headers['x-cache']).to.equal('HIT')
        expect(runs()).to.equal(5)
        expect(cache.stats()).to.deep.include({ entries: 1, bypasses: { query: 4 } })
      })

      it('leaves ignored parameters out of the key', async () => {
        const { get, runs } = await route({ query: { ignore: ['utm_source'] } })
        await get('/x?a=1&utm_source=mail')
        expect((await get('/x?utm_source=web&a=1')).headers['x-cache']).to.equal('HIT')
        expect((await get('/x?a=1')).headers['x-cache']).to.equal('HIT')
        expect((await get('/x?a=2')).headers['x-cache']).to.equal('MISS')
        expect(runs()).to.equal(2)
      })
    })

    it('counts the values of vary in the key, absent ones included, and does not say so in Vary', async () => {
      const { get, runs } = await route({ vary: ['Accept-Language'] })
      for (const language of ['de', 'en', undefined, '']) {
        const headers = language === undefined ? {} : { 'Accept-Language': language }
        expect((await get('/x', headers)).headers['x-cache']).to.equal('MISS')
        expect((await get('/x', headers)).headers['x-cache']).to.equal('HIT')
      }
      expect(runs()).to.equal(4)
    })

    it('stores the statuses that it is told, and no others', async () => {
      const { get, runs } = await route({ status: [200, 404] }, (res, run, req) =>
        res.status(Number(req.query.status)).json({ run }),
      )
      for (const [status, count] of [
        [200, 1],
        [404, 1],
        [201, 2],
        [410, 2],
        [500, 2],
      ] as const) {
        const before = runs()
        await get(`/x?status=${status}`)
        await get(`/x?status=${status}`)
        expect(runs() - before, String(status)).to.equal(count)
      }
    })

    it('bypasses where bypass says so, and where it throws', async () => {
      const { get, cache } = await route({
        bypass: (req: unknown) => {
          const { mode } = (req as Request).query
          if (mode === 'throw') throw new Error('oops')
          return mode === 'skip'
        },
      })
      expect(outcome(await get('/x?mode=skip'))).to.deep.equal([
        'BYPASS',
        { cache: 'registry-cache', fwd: 'bypass', detail: 'bypass' },
      ])
      expect(outcome(await get('/x?mode=throw'))).to.deep.equal([
        'BYPASS',
        { cache: 'registry-cache', fwd: 'bypass', detail: 'bypass-error' },
      ])
      expect(cache.stats()).to.deep.include({ bypasses: { bypass: 1, 'bypass-error': 1 }, errors: 1, entries: 0 })
    })

    it('runs the handler and replaces the entry where refresh says so', async () => {
      const { get, runs } = await route({ refresh: (req) => req.headers['x-refresh'] === 'yes' })
      await get('/x')
      const refreshed = await get('/x', { 'X-Refresh': 'yes' })
      expect(refreshed.json()).to.deep.equal({ run: 2 })
      expect(outcome(refreshed)).to.deep.equal(['MISS', { cache: 'registry-cache', fwd: 'request', stored: true }])
      expect((await get('/x')).json()).to.deep.equal({ run: 2 })
      expect(runs()).to.equal(2)
    })

    it("does not let a client's no-cache past the cache unless the route lets it", async () => {
      const { get, runs } = await route({})
      await get('/x')
      for (const headers of [
        { 'Cache-Control': 'no-cache' },
        { 'Cache-Control': 'max-age=0' },
        { Pragma: 'no-cache' },
      ]) {
        expect((await get('/x', headers)).headers['x-cache']).to.equal('HIT')
      }
      expect(runs()).to.equal(1)
    })

    it('honours what the client asks for where the route lets it (RFC 9111 section 5.2.1)', async () => {
      const { get, runs, clock } = await route({ requestCacheControl: 'honour' })
      const ask = async (cacheControl: string): Promise<unknown> =>
        (await get('/x', { 'Cache-Control': cacheControl })).headers['x-cache']
      expect((await get('/x', { 'Cache-Control': 'only-if-cached' })).status).to.equal(504)
      expect(await ask('no-store')).to.equal('MISS')
      expect(await ask('no-store'), 'it was not stored').to.equal('MISS')
      expect(await ask('max-age=60')).to.equal('MISS')
      clock.advance(10_000)
      expect(await ask('max-age=10')).to.equal('HIT')
      expect(await ask('min-fresh=10')).to.equal('HIT')
      expect(await ask('no-store'), 'what is there may be used').to.equal('HIT')
      expect(await ask('only-if-cached')).to.equal('HIT')
      expect(runs()).to.equal(3)
      expect(await ask('max-age=9')).to.equal('MISS')
      clock.advance(10_000)
      expect(await ask('MIN-FRESH="11"')).to.equal('MISS')
      expect(await ask('no-cache')).to.equal('MISS')
      expect((await get('/x', { Pragma: 'no-cache' })).headers['x-cache']).to.equal('MISS')
      expect((await get('/x', { Pragma: 'no-cache', 'Cache-Control': 'max-age=60' })).headers['x-cache']).to.equal(
        'HIT',
      )
      expect(runs()).to.equal(7)
    })

    it('shortens the TTL by jitter, and never below its part', async () => {
      const { get, cache } = await route({ jitter: 0.5, ttl: 100 })
      const ttls: number[] = []
      cache.on('store', ({ ttlMs }) => void ttls.push(ttlMs))
      for (let i = 0; i < 60; i++) await get(`/x?i=${i}`)
      expect(Math.min(...ttls)).to.be.within(50_000, 75_000)
      expect(Math.max(...ttls)).to.be.within(75_000, 100_000)
      expect(new Set(ttls).size).to.be.greaterThan(50)
    })

    it('makes an entry depend on the tags of its request', async () => {
      const { get, cache, runs } = await route({
        tags: (req: unknown) => [`team:${String((req as Request).query.team)}`],
      })
      await get('/x?team=a')
      await get('/x?team=b')
      await cache.invalidate({ tag: 'team:a' })
      expect((await get('/x?team=b')).headers['x-cache']).to.equal('HIT')
      expect((await get('/x?team=a')).headers['x-cache']).to.equal('MISS')
      expect(runs()).to.equal(3)
    })

    for (const [what, tags] of [
      [
        'throws',
        () => {
          throw new Error('oops')
        },
      ],
      ['gives a malformed tag', () => ['a:@b']],
      ['gives no list', () => 'team'],
    ] as [string, () => string[]][]) {
      it(`bypasses where tags ${what}, with an event and no failed request`, async () => {
        const { get, cache } = await route({ tags })
        const answer = await get('/x')
        expect(answer.status).to.equal(200)
        expect(outcome(answer)).to.deep.equal([
          'BYPASS',
          { cache: 'registry-cache', fwd: 'bypass', detail: 'tags-error' },
        ])
        expect(cache.stats()).to.include({ errors: 1, entries: 0 })
      })
    }

    const refused: [string, Partial<CacheMiddlewareOptions>, Handler][] = [
      ['set-cookie', {}, (res) => res.cookie('a', '1').json([])],
      ['private', {}, (res) => res.set('Cache-Control', 'max-age=9, Private').json([])],
      ['no-store', {}, (res) => res.set('Cache-Control', ['max-age=9', 'NO-STORE'] as never).json([])],
      ['no-cache', {}, (res) => res.set('Cache-Control', 'no-cache="x-y"').json([])],
      ['ttl', {}, (res) => res.set('Cache-Control', 'max-age=0').json([])],
      ['status', {}, (res) => res.status(202).json([])],
      ['partial', { status: [200] }, (res) => res.status(206).json([])],
      ['partial', {}, (res) => res.set('Content-Range', 'items 0-1/2').json([])],
      ['vary', {}, (res) => res.set('Vary', '*').json([])],
      ['content-encoding', {}, (res) => res.set('Content-Encoding', 'br').json([])],
      ['too-large', {}, (res) => res.json('x'.repeat(2000))],
    ]
    for (const [reason, options, handler] of refused) {
      it(`says why an answer is not stored: ${reason}`, async () => {
        const { get, cache, runs } = await route(options, handler, { memory: { maxEntryBytes: 1000 } })
        const answer = await get('/x')
        const [xCache, status] = outcome(answer)
        expect(xCache).to.equal('MISS')
        expect(status).to.deep.equal({ cache: 'registry-cache', fwd: 'uri-miss', detail: reason })
        await get('/x')
        expect(runs()).to.equal(2)
        expect(cache.stats()).to.deep.include({ stores: 0, entries: 0, notStored: { [reason]: 2 } })
      })
    }

    it("ignores the response's Cache-Control where the route says so, but never Set-Cookie or Vary: *", async () => {
      for (const [header, value, stored] of [
        ['Cache-Control', 'no-cache, no-store, must-revalidate', true],
        ['Cache-Control', 'private', true],
        ['Expires', '0', true],
        ['Set-Cookie', 'a=1', false],
        ['Vary', '*', false],
      ] as const) {
        const { get, runs } = await route({ responseCacheControl: 'ignore' }, (res, run) =>
          res.set(header, value).json({ run }),
        )
        await get('/x')
        await get('/x')
        expect(runs(), `${header}: ${value}`).to.equal(stored ? 1 : 2)
      }
    })

    it('says hit, miss, bypass and stale in both headers, and counts each request once', async () => {
      const { get, cache, clock } = await route({ ttl: 10, staleIfError: 60 }, (res, run) =>
        run === 1 ? res.json({ run }) : res.status(500).json({ run }),
      )
      expect(outcome(await get('/x'))).to.deep.equal([
        'MISS',
        { cache: 'registry-cache', fwd: 'uri-miss', stored: true },
      ])
      clock.advance(1_500)
      expect(outcome(await get('/x'))).to.deep.equal(['HIT', { cache: 'registry-cache', hit: true, ttl: 9 }])
      expect(outcome(await get('/x', { Authorization: 'a' }))).to.deep.equal([
        'BYPASS',
        { cache: 'registry-cache', fwd: 'bypass', detail: 'authorization' },
      ])
      clock.advance(9_500)
      const [xCache, status] = outcome(await get('/x'))
      expect(xCache).to.equal('STALE')
      expect(status).to.include({ cache: 'registry-cache', detail: 'stale-if-error' })
      const { hits, misses, bypasses, stale } = cache.stats()
      expect({ hits, misses, bypasses, stale }).to.deep.equal({
        hits: 2,
        misses: 1,
        bypasses: { authorization: 1 },
        stale: 1,
      })
    })

    it('adds its own line to the Cache-Status of a cache before it', async () => {
      const { get } = await start(framework, ({ app, cached }) => {
        app.use((_req, res, next) => {
          res.set('Cache-Status', 'edge; fwd=miss')
          next()
        })
        app.get('/x', cached(), (_req, res) => void res.json([]))
      })
      expect((await get('/x')).headers['cache-status']).to.equal('edge; fwd=miss, registry-cache; fwd=uri-miss; stored')
      expect((await get('/x')).headers['cache-status']).to.equal('edge; fwd=miss, registry-cache; hit; ttl=20')
    })

    it('writes neither header where the cache says so', async () => {
      const { get, runs } = await route({}, undefined, { headers: false })
      for (const headers of [{}, {}, { Authorization: 'a' }]) {
        expect((await get('/x', headers)).headers).to.not.have.any.keys('x-cache', 'cache-status')
      }
      expect(runs()).to.equal(2)
    })

    it('leaves every request alone where the cache is not enabled', async () => {
      const { get, runs, cache } = await route({}, undefined, { enabled: false })
      for (let i = 0; i < 2; i++)
        expect((await get('/x')).headers).to.not.have.any.keys('x-cache', 'cache-status', 'age')
      expect(runs()).to.equal(2)
      expect(cache.stats()).to.include({ hits: 0, misses: 0 })
    })
  })
})
