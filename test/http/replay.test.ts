/*
 * A hit is byte for byte the miss: status, body and the headers that the route set, in their spelling. What belongs to one
 * connection or one request is never replayed.
 */
import { expect } from 'chai'
import type { Response } from 'express'
import { type Answer, forEachExpress } from '../helpers/http.ts'
import { applications, expectSame, headerLines } from './fixture.ts'

const LIST = [{ name: 'search' }, { name: 'fetch' }]

forEachExpress((_name, framework) => {
  describe('replay', () => {
    const start = applications()

    const routes: Record<string, (res: Response) => unknown> = {
      'a status of its own': (res) => res.status(203).json(LIST),
      'an ETag of its own': (res) => res.set('ETag', '"v1"').json(LIST),
      'a weak ETag': (res) => res.set('ETag', 'W/"v1"').json(LIST),
      'header names in odd spelling': (res) =>
        res.set('x-lower', '1').set('X-MiXeD', '2').set('CONTENT-Language', 'de').json(LIST),
      'several lines of one header': (res) =>
        res.set('Link', ['</a>; rel=next', '</b>; rel=prev']).append('Warning', '1').append('Warning', '2').json(LIST),
      'headers given as numbers': (res) => {
        res.setHeader('X-Total-Count', 42)
        res.json(LIST)
      },
      'a Vary in its own spelling': (res) => res.set('Vary', 'Accept-Language, X-Flavour').json(LIST),
      'a Content-Type of its own': (res) => res.set('Content-Type', 'application/hal+json').json(LIST),
      'Latin-1 in a header': (res) => res.set('X-Name', 'caf\u00e9').json(LIST),
      'a Date of its own': (res) => res.set('Date', 'Thu, 01 Jan 2026 00:00:00 GMT').json(LIST),
      'Last-Modified and Cache-Control': (res) =>
        res.set('Last-Modified', 'Wed, 31 Dec 2025 00:00:00 GMT').set('Cache-Control', 'public, max-age=60').json(LIST),
      'a header that it takes away': (res) => {
        res.removeHeader('X-Powered-By')
        res.removeHeader('X-Before')
        res.json(LIST)
      },
      'a list of a middleware that it adds to': (res) => res.appendHeader('X-List', 'c') && res.json(LIST),
      'a header of a middleware that it changes': (res) => res.set('X-Before', 'changed').json(LIST),
      'a name of Object.prototype as header': (res) => res.set('constructor', 'x').set('toString', 'y').json(LIST),
      'an empty answer of status 204': (res) => res.status(204).json(LIST),
      'an empty answer of status 205': (res) => res.status(205).json(LIST),
    }
    for (const [what, answer] of Object.entries(routes)) {
      it(`replays ${what}`, async () => {
        let runs = 0
        const { get } = await start(framework, ({ app, cached }) => {
          app.use((_req, res, next) => {
            res.set('X-Before', 'middleware').set('X-List', ['a', 'b'])
            next()
          })
          app.get('/x', cached({ status: [200, 203, 204, 205] }), (_req, res) => {
            runs++
            answer(res)
          })
        })
        const miss = await get('/x')
        expectSame(await get('/x'), miss)
        expect(runs).to.equal(1)
      })
    }

    const settings: Record<string, Record<string, unknown>> = {
      'etag: false': { etag: false },
      'a strong etag': { etag: 'strong' },
      'an etag function': { etag: (body: Buffer) => `"own-${body.length}"` },
      'json spaces': { 'json spaces': 2 },
      'a json replacer': { 'json replacer': (key: string, value: unknown) => (key === 'name' ? 'hidden' : value) },
      'json escape': { 'json escape': true },
      'no x-powered-by': { 'x-powered-by': false },
    }
    for (const [what, setting] of Object.entries(settings)) {
      it(`replays what an app with ${what} sends, whatever the outer app's settings are`, async () => {
        const { get } = await start(framework, ({ app, cached }) => {
          const inner = framework()
          for (const [key, value] of Object.entries(setting)) inner.set(key, value)
          inner.get('/x', cached(), (_req, res) => void res.json({ name: '<b>', list: LIST }))
          app.use('/inner', inner)
        })
        const miss = await get('/inner/x')
        const hit = await get('/inner/x')
        expectSame(hit, miss)
        if (setting.etag === false) expect(hit.headers).to.not.have.property('etag')
      })
    }

    it('never replays headers of one connection, those that Connection names, or those of one request', async () => {
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          res.set('Connection', 'close, X-Hop, x-hop-too').set('X-Hop', '1').set('X-Hop-Too', '2')
          res.set('Keep-Alive', 'timeout=9').set('Proxy-Authenticate', 'Basic').set('Upgrade', 'h2c')
          res.set('TE', 'trailers').set('Proxy-Connection', 'close').set('X-Kept', '3')
          res.json(LIST)
        })
      })
      await get('/x')
      const { headers } = await get('/x')
      expect(headers['x-kept']).to.equal('3')
      expect(headers['x-cache']).to.equal('HIT')
      expect(headers).to.not.have.any.keys(
        'x-hop',
        'x-hop-too',
        'proxy-authenticate',
        'proxy-connection',
        'upgrade',
        'trailer',
        'te',
        'keep-alive',
      )
      expect(headers.connection).to.not.match(/x-hop/i)
    })

    it('lets middlewares before it set their headers anew, and replays none of them', async () => {
      let requests = 0
      const { get } = await start(framework, ({ app, cached }) => {
        app.use((req, res, next) => {
          requests++
          res.set({ 'X-Request-Id': `r${requests}`, 'Access-Control-Allow-Origin': String(req.headers.origin) })
          res.vary('Origin')
          next()
        })
        app.get('/x', cached(), (_req, res) => void res.vary('Accept-Language').json(LIST))
      })
      const miss = await get('/x', { Origin: 'http://a.example' })
      const hit = await get('/x', { Origin: 'http://b.example' })
      expect(miss.headers.vary).to.equal('Origin, Accept-Language')
      expect(hit.headers).to.include({
        'x-cache': 'HIT',
        'x-request-id': 'r2',
        'access-control-allow-origin': 'http://b.example',
        vary: 'Origin, Accept-Language',
      })
    })

    it('gives an Age that grows, and keeps the Date of the storing', async () => {
      const { get, clock } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => void res.json(LIST))
        app.get('/aged', cached(), (_req, res) => void res.set('Age', '7').json(LIST))
      })
      const miss = await get('/x')
      await get('/aged')
      expect(miss.headers).to.not.have.property('age')
      clock.advance(12_900)
      clock.setNow(0)
      const hit = await get('/x')
      expect(hit.headers.age).to.equal('12')
      expect(hit.headers.date).to.equal(miss.headers.date)
      expect(hit.headers['cache-status']).to.equal('registry-cache; hit; ttl=8')
      expect((await get('/aged')).headers.age).to.equal('19')
      clock.advance(7_100)
      expect((await get('/x')).headers['x-cache']).to.equal('MISS')
    })

    const conditions: [string, Record<string, string>, 200 | 304][] = [
      ['its own tag', { 'If-None-Match': '"v1"' }, 304],
      ['its own tag, weak', { 'If-None-Match': 'W/"v1"' }, 304],
      ['a list that holds it', { 'If-None-Match': '"v0", W/"v1" ,"v2"' }, 304],
      ['a list without it', { 'If-None-Match': '"v0", "v2"' }, 200],
      ['a tag with a comma in it', { 'If-None-Match': '"v0,v1,"' }, 200],
      ['any tag', { 'If-None-Match': '*' }, 304],
      ['a tag that begins alike', { 'If-None-Match': '"v1a"' }, 200],
      [
        'a wrong tag beside a date that holds',
        { 'If-None-Match': '"v0"', 'If-Modified-Since': 'Thu, 01 Jan 2026 00:00:00 GMT' },
        200,
      ],
      [
        'its tag beside a date that does not hold',
        { 'If-None-Match': '"v1"', 'If-Modified-Since': 'Tue, 01 Dec 2020 00:00:00 GMT' },
        304,
      ],
      ['the date of its last change', { 'If-Modified-Since': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 304],
      ['a later date', { 'If-Modified-Since': 'Thu, 01 Jan 2026 00:00:00 GMT' }, 304],
      ['an earlier date', { 'If-Modified-Since': 'Tue, 30 Dec 2025 00:00:00 GMT' }, 200],
      ['a date in the RFC 850 form', { 'If-Modified-Since': 'Thursday, 01-Jan-26 00:00:00 GMT' }, 304],
      ['no date at all', { 'If-Modified-Since': 'yesterday' }, 200],
      ['a tag, and no-cache as fetch adds it', { 'If-None-Match': '"v1"', 'Cache-Control': 'no-cache' }, 304],
    ]
    for (const [what, headers, status] of conditions) {
      it(`answers a condition with ${what} from the entry with ${status}`, async () => {
        let runs = 0
        const { get } = await start(framework, ({ app, cached }) => {
          app.get('/x', cached(), (_req, res) => {
            runs++
            res.set({ ETag: '"v1"', 'Last-Modified': 'Wed, 31 Dec 2025 00:00:00 GMT', 'X-Route': 'yes' }).json(LIST)
          })
        })
        await get('/x')
        const answer = await get('/x', headers)
        expect(answer.status).to.equal(status)
        expect(answer.headers).to.include({ 'x-cache': 'HIT', etag: '"v1"', 'x-route': 'yes' })
        expect(answer.text).to.equal(status === 200 ? JSON.stringify(LIST) : '')
        if (status === 304)
          expect(answer.headers).to.not.have.any.keys('content-type', 'content-length', 'transfer-encoding')
        expect(runs).to.equal(1)
      })
    }

    it('takes the Date of the entry where there is no Last-Modified', async () => {
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => void res.set('Date', 'Wed, 31 Dec 2025 00:00:00 GMT').json(LIST))
      })
      await get('/x')
      expect((await get('/x', { 'If-Modified-Since': 'Wed, 31 Dec 2025 00:00:00 GMT' })).status).to.equal(304)
      expect((await get('/x', { 'If-Modified-Since': 'Tue, 30 Dec 2025 23:59:59 GMT' })).status).to.equal(200)
    })

    it('answers no condition for a status that is no success', async () => {
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached({ status: [404] }), (_req, res) => void res.status(404).set('ETag', '"v1"').json(LIST))
      })
      await get('/x')
      const answer = await get('/x', { 'If-None-Match': '"v1"' })
      expect([answer.status, answer.headers['x-cache']]).to.deep.equal([404, 'HIT'])
    })

    it("answers HEAD from GET's entry, with its headers and length and no body", async () => {
      let runs = 0
      const { get, send } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          runs++
          res.set('X-Route', 'yes').json(LIST)
        })
      })
      const miss = await get('/x')
      const head = await send({ method: 'HEAD', path: '/x' })
      expect(head.text).to.equal('')
      expect(headerLines(head)).to.deep.equal(headerLines(miss))
      expect(head.headers['x-cache']).to.equal('HIT')
      const unchanged = await send({ method: 'HEAD', path: '/x', headers: { 'If-None-Match': miss.headers.etag } })
      expect(unchanged.status).to.equal(304)
      expect(runs).to.equal(1)
    })

    it('passes other methods to their handlers', async () => {
      const { get, send } = await start(framework, ({ app, cached }) => {
        app.all('/x', cached(), (req, res) => void res.json({ method: req.method }))
      })
      await get('/x')
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        const answer = await send({ method, path: '/x' })
        expect(answer.json()).to.deep.equal({ method })
        expect(answer.headers).to.not.have.any.keys('x-cache', 'cache-status', 'age')
      }
      expect((await get('/x')).json()).to.deep.equal({ method: 'GET' })
    })

    it('keeps several variants side by side, each for its own values', async () => {
      const runs: string[] = []
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (req, res) => {
          const key = `${req.headers['accept-language']}/${req.headers['x-flavour']}`
          runs.push(key)
          res.vary('Accept-Language').vary('X-Flavour').json({ key })
        })
      })
      const languages = ['de', 'en', undefined]
      const ask = async (): Promise<Answer[]> => {
        const answers: Answer[] = []
        for (const language of languages) {
          for (const flavour of ['a', 'b']) {
            const answer = await get('/x', { ...(language && { 'Accept-Language': language }), 'X-Flavour': flavour })
            expect(answer.json()).to.deep.equal({ key: `${language}/${flavour}` })
            answers.push(answer)
          }
        }
        return answers
      }
      const misses = await ask()
      for (const [i, hit] of (await ask()).entries()) expectSame(hit, misses[i] as Answer)
      expect(runs).to.have.length(6)
    })

    it('counts a name that only some answers of a key name in Vary for all of them from then on', async () => {
      let runs = 0
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (req, res) => {
          runs++
          if (req.headers.accept === 'b') res.vary('Accept')
          res.json({ accept: req.headers.accept })
        })
      })
      for (const accept of ['b', 'a', 'b', 'a', 'c', 'b']) {
        expect((await get('/x', { Accept: accept })).json()).to.deep.equal({ accept })
      }
      expect(runs).to.equal(3)
    })

    it('does not store an answer whose Vary holds *, wherever it stands', async () => {
      for (const vary of ['*', 'Accept, *', ['Accept', '*']]) {
        let runs = 0
        const { get, cache } = await start(framework, ({ app, cached }) => {
          app.get('/x', cached(), (_req, res) => {
            runs++
            res.setHeader('Vary', vary)
            res.json(LIST)
          })
        })
        await get('/x')
        await get('/x')
        expect(runs).to.equal(2)
        expect(cache.stats().notStored).to.deep.equal({ vary: 2 })
      }
    })
  })
})
