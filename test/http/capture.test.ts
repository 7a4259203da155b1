/*
 * What is taken down of a response and what is not: the ways in which Express, its middlewares and node:http send one.
 */
import { type IncomingMessage, get as openStream } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import { expect } from 'chai'
import type { ErrorRequestHandler, RequestHandler, Response } from 'express'
import { forEachExpress } from '../helpers/http.ts'
import { applications, expectSame } from './fixture.ts'

const LIST = [{ name: 'search' }, { name: 'fetch' }]

/** What is stored, by how it is sent. */
const stored: Record<string, (res: Response) => unknown> = {
  'res.json(object)': (res) => res.json(LIST),
  'res.send(object)': (res) => res.send(LIST),
  'res.send(text) of a JSON type': (res) => res.type('json').send(JSON.stringify(LIST)),
  'res.send(Buffer) of a JSON type': (res) => res.type('application/json').send(Buffer.from(JSON.stringify(LIST))),
  'res.send(text) of a type that ends in +json': (res) => res.type('application/vnd.api+json').send('{"data":[]}'),
  'res.jsonp without a callback': (res) => res.jsonp(LIST),
  'res.json(null)': (res) => res.json(null),
  'res.json of a text with wide characters': (res) => res.json({ text: 'é✓🂡', more: '\u2028' }),
}

/** What passes untouched. */
const passed: Record<string, (res: Response) => unknown> = {
  'res.send(html)': (res) => res.send('<p>hi</p>'),
  'res.jsonp with a callback': (res) => res.jsonp(LIST),
  'res.json(undefined)': (res) => res.json(undefined),
  'res.end()': (res) => res.end(),
  'res.end(callback)': (res) => res.end(() => {}),
  'res.end(chunk, callback)': (res) => res.type('json').end('[1]', () => {}),
  'res.end(chunk, encoding, callback)': (res) => res.type('json').end('5b315d', 'hex', () => {}),
  'res.end(Uint8Array)': (res) => res.type('json').end(new Uint8Array([0x5b, 0x31, 0x5d])),
  'res.write and res.end': (res) => {
    res.type('json')
    res.write('[', 'utf8', () => {})
    res.write(Buffer.from('1'))
    res.end(']')
  },
  'a stream': (res) => Readable.from(['[1', ',2]']).pipe(res.type('json')),
  'a text with Content-Encoding': (res) => res.set('Content-Encoding', 'identity').json(LIST),
  'res.redirect': (res) => res.redirect('/elsewhere'),
  'res.sendStatus': (res) => res.sendStatus(200),
  'a writeHead of its own': (res) => res.writeHead(200, { 'Content-Type': 'application/json' }).end('[1]'),
}

forEachExpress((_name, framework) => {
  describe('capture', () => {
    const start = applications()

    for (const [how, answer] of Object.entries(stored)) {
      it(`stores what ${how} sends, once, and replays it byte for byte`, async () => {
        let runs = 0
        const { get, cache } = await start(framework, ({ app, cached }) => {
          app.get('/x', cached(), (_req, res) => {
            runs++
            answer(res)
          })
        })
        const miss = await get('/x')
        expectSame(await get('/x'), miss)
        expect(runs).to.equal(1)
        expect(cache.stats().stores).to.equal(1)
      })
    }

    for (const windows of [{}, { staleIfError: 60, staleWhileRevalidate: 60 }]) {
      const which = 'staleIfError' in windows ? ' (with stale windows)' : ''
      for (const [how, answer] of Object.entries(passed)) {
        it(`passes what ${how} sends as it would be without us, and never stores it${which}`, async () => {
          let runs = 0
          const handler = (_req: unknown, res: Response): void => {
            runs++
            answer(res.set('Date', 'Thu, 01 Jan 2026 00:00:00 GMT'))
          }
          const { get, cache } = await start(framework, ({ app, cached }) => {
            app.get('/plain', handler)
            app.get('/x', cached(windows), handler)
          })
          const plain = await get('/plain?callback=f')
          for (const expectedRuns of [2, 3]) {
            const answer = await get('/x?callback=f')
            expect(answer.text).to.equal(plain.text)
            expect(answer.status).to.equal(plain.status)
            const theirs = Object.entries(answer.headers).filter(([name]) => !/^(x-cache|cache-status)$/.test(name))
            expect(Object.fromEntries(theirs)).to.deep.equal(plain.headers)
            expect(runs).to.equal(expectedRuns)
          }
          expect(cache.stats()).to.deep.include({ stores: 0, entries: 0 })
        })
      }
    }

    it('replays status and headers that change after json was called', async () => {
      let runs = 0
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached({ status: [203] }), (_req, res) => {
          runs++
          const { send } = res
          res.send = function late(this: Response, body?: unknown) {
            res.status(203).set('X-Late', 'yes')
            return send.call(this, body)
          }
          res.json(LIST)
        })
      })
      const miss = await get('/x')
      expect([miss.status, miss.headers['x-late']]).to.deep.equal([203, 'yes'])
      expectSame(await get('/x'), miss)
      expect(runs).to.equal(1)
    })

    it('stores neither the value that json could not write nor the 500 that tells of it', async () => {
      let runs = 0
      const { get, cache } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          runs++
          res.json(runs === 1 ? { huge: 1n } : LIST)
        })
      })
      const first = await get('/x')
      expect(first.status).to.equal(500)
      expect(first.text).to.match(/BigInt/)
      expect(cache.stats().notStored).to.deep.equal({ status: 1 })
      const second = await get('/x')
      expect(second.json()).to.deep.equal(LIST)
      expectSame(await get('/x'), second)
      expect(runs).to.equal(2)
    })

    it('fills the cache from a conditional first request, and answers it 304 all the same', async () => {
      let runs = 0
      const { get, clock } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          runs++
          res.set('X-Route', 'yes').json(LIST)
        })
      })
      const etag = (await get('/x')).headers.etag ?? ''
      clock.advance(21_000)
      const first = await get('/x', { 'If-None-Match': etag })
      expect([first.status, first.text, first.headers.etag]).to.deep.equal([304, '', etag])
      expect(first.headers).to.not.have.any.keys('content-type', 'content-length', 'transfer-encoding')
      expect(first.headers['x-cache']).to.equal('MISS')
      const hit = await get('/x')
      expect(hit.headers['x-cache']).to.equal('HIT')
      expect(hit.json()).to.deep.equal(LIST)
      expect(hit.headers['content-type']).to.equal('application/json; charset=utf-8')
      expect(runs).to.equal(2)
    })

    it('gives the whole answer of a miss to a condition that does not hold', async () => {
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => void res.json(LIST))
      })
      const answer = await get('/x', { 'If-None-Match': '"other"' })
      expect([answer.status, answer.text]).to.deep.equal([200, JSON.stringify(LIST)])
    })

    it('runs the GET handler for a HEAD without an entry, and stores nothing of it', async () => {
      let runs = 0
      const { send, get, cache } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          runs++
          res.json(LIST)
        })
      })
      const head = await send({ method: 'HEAD', path: '/x' })
      expect([head.status, head.text, head.headers['content-length']]).to.deep.equal([200, '', '36'])
      expect(cache.stats().entries).to.equal(0)
      expect((await get('/x')).headers['x-cache']).to.equal('MISS')
      expect(runs).to.equal(2)
    })

    for (const place of ['before', 'after'] as const) {
      it(`does not store what a writeHead hook mounted ${place} the cache gives a Set-Cookie`, async () => {
        let runs = 0
        const { get, cache } = await start(framework, ({ app, cached }) => {
          const hook = (_req: unknown, res: Response, next: () => void): void => {
            const { writeHead } = res
            res.writeHead = function hooked(this: Response, ...args: unknown[]) {
              res.setHeader('Set-Cookie', `sid=${runs}`)
              return writeHead.apply(res, args as Parameters<typeof writeHead>)
            } as typeof writeHead
            next()
          }
          const stack = place === 'before' ? [hook, cached()] : [cached(), hook]
          app.get('/x', ...stack, (_req, res) => {
            runs++
            res.json(LIST)
          })
        })
        for (const run of [1, 2]) {
          const answer = await get('/x')
          expect(answer.headers['set-cookie']).to.deep.equal([`sid=${run}`])
          expect(answer.headers['x-cache']).to.equal('MISS')
        }
        expect(cache.stats()).to.deep.include({ stores: 0, notStored: { 'set-cookie': 2 } })
      })
    }

    for (const [form, given] of [
      ['a list', ['Set-Cookie', 'sid=1']],
      ['an object', { 'SET-COOKIE': 'sid=1' }],
    ] as const) {
      it(`sees the Set-Cookie that a hook hands to writeHead as ${form}`, async () => {
        const { get, cache } = await start(framework, ({ app, cached }) => {
          app.get('/x', cached(), (_req, res) => {
            const { writeHead } = res
            res.writeHead = function handing(this: Response, status: number) {
              return writeHead.call(res, status, given as never)
            } as typeof writeHead
            res.json(LIST)
          })
        })
        await get('/x')
        await get('/x')
        expect(cache.stats()).to.deep.include({ stores: 0, hits: 0 })
      })
    }

    it('leaves the error of a throw after res.json to the error middleware, and the answer to the client', async () => {
      let runs = 0
      const seen: boolean[] = []
      const { get, cache } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          runs++
          res.json(LIST)
          throw new Error('after the answer')
        })
        const note: ErrorRequestHandler = (_error, _req, res, _next) => void seen.push(res.headersSent)
        app.use(note)
      })
      const answer = await get('/x')
      expect(answer.json()).to.deep.equal(LIST)
      expect(seen).to.deep.equal([true])
      expectSame(await get('/x'), answer)
      expect(runs).to.equal(1)
      expect(cache.stats().errors).to.equal(0)
    })

    it('hands the events of a stream on as they come, and says when the writer should wait', async () => {
      const tell = new PassThrough()
      let wrote: boolean | undefined
      const { listening, cache } = await start(framework, ({ app, cached }) => {
        app.get('/events', cached({ staleIfError: 60 }), (_req, res) => {
          res.type('text/event-stream')
          res.write('data: 1\n\n')
          // More than the buffers on the way take.
          tell.once('data', () => {
            wrote = res.write(Buffer.alloc(32 * 1024 * 1024, 'x'))
            res.end()
          })
        })
      })
      const incoming = await new Promise<IncomingMessage>((resolve) =>
        openStream({ host: '127.0.0.1', port: listening.port, path: '/events', agent: false }, resolve),
      )
      const first = await new Promise<Buffer>((resolve) => incoming.once('data', resolve))
      expect(String(first)).to.equal('data: 1\n\n')
      incoming.resume()
      tell.write('go on')
      await new Promise((resolve) => incoming.once('end', resolve))
      expect(wrote, 'what write returned').to.equal(false)
      expect(cache.stats()).to.deep.include({ stores: 0, notStored: { 'not-captured': 1 } })
    })

    it('lets the outer of two cache middlewares rule, runs the handler once, and warns', async () => {
      let runs = 0
      const { get, warnings } = await start(framework, ({ app, cached }) => {
        app.use(cached())
        app.get('/x', cached({ type: 'prompts' }), (_req, res) => {
          runs++
          res.json(LIST)
        })
      })
      const miss = await get('/x')
      expectSame(await get('/x'), miss)
      expect(miss.headers['cache-status']).to.equal('registry-cache; fwd=uri-miss; stored')
      expect(runs).to.equal(1)
      expect(warnings).to.deep.equal(['ERR_CACHE_TWICE'])
    })

    it('does not run the handler when a timeout middleware has answered meanwhile', async () => {
      let runs = 0
      const { get, cache } = await start(framework, ({ app, cached }) => {
        app.use((_req, res, next) => {
          next()
          if (!res.headersSent) res.status(503).json({ error: 'too slow' })
        })
        // It asks for the epochs first, which takes a turn of the event loop.
        app.get('/x', cached({ refresh: () => true }), (_req, res) => {
          runs++
          res.json(LIST)
        })
      })
      expect((await get('/x')).status).to.equal(503)
      expect(runs).to.equal(0)
      expect(cache.stats().stores).to.equal(0)
    })

    it('lets a handler that answers twice know what Express lets it know', async () => {
      let code: unknown
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached({ staleIfError: 1 }), (_req, res) => {
          res.json(LIST)
          try {
            res.json(['again'])
          } catch (error) {
            code = (error as { code: string }).code
          }
        })
      })
      const miss = await get('/x')
      expect(miss.json()).to.deep.equal(LIST)
      expect(code).to.equal('ERR_HTTP_HEADERS_SENT')
      expectSame(await get('/x'), miss)
    })

    for (const where of ['before', 'behind'] as const) {
      it(`keeps nothing of what a hook on end, mounted ${where} the cache, writes into the bytes of one caller`, async () => {
        let runs = 0
        const { get } = await start(framework, ({ app, cached }) => {
          const cache = cached({ scope: 'public' })
          const personal: RequestHandler = (req, res, next) => {
            const { end } = res
            res.end = ((chunk: unknown, ...more: unknown[]) => {
              const at = Buffer.isBuffer(chunk) ? chunk.indexOf('########') : -1
              if (Buffer.isBuffer(chunk) && at >= 0) chunk.write(String(req.headers['x-token']), at)
              return Reflect.apply(end, res, [chunk, ...more])
            }) as typeof res.end
            next()
          }
          const chain: RequestHandler[] = where === 'before' ? [personal, cache] : [cache, personal]
          app.get('/x', ...chain, (_req: unknown, res: Response) => {
            runs++
            res.json({ token: '########', padding: 'x'.repeat(20_000) })
          })
        })
        const tokens: unknown[] = []
        for (const token of ['of-alice', 'of-bob..', 'of-carol']) {
          tokens.push((await get('/x', { 'X-Token': token })).json<{ token: string }>().token)
        }
        const onHits = where === 'before' ? ['of-bob..', 'of-carol'] : ['########', '########']
        expect(tokens).to.deep.equal(['of-alice', ...onHits])
        expect(runs).to.equal(1)
      })
    }

    it('fills from a conditional request where a wrapped send sends once more by json', async () => {
      const { get } = await start(framework, ({ app, cached }) => {
        app.use((_req, res, next) => {
          const { send } = res
          let isWrapped = false
          res.send = function wrapping(this: Response, body: unknown) {
            if (isWrapped || typeof body !== 'string') return send.call(this, body)
            isWrapped = true
            return this.json({ data: JSON.parse(body) })
          }
          next()
        })
        app.get('/x', cached(), (_req, res) => void res.set('ETag', '"1"').json(LIST))
      })
      expect((await get('/x', { 'If-None-Match': '"1"' })).status).to.equal(304)
      const hit = await get('/x')
      expect(hit.headers['x-cache']).to.equal('HIT')
      expect(hit.json()).to.deep.equal({ data: LIST })
    })

    it('copies the bytes, so that a handler may use its buffer again', async () => {
      const buffer = Buffer.from('[1]')
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res) => {
          res.type('json').send(buffer)
          buffer.fill('!')
        })
      })
      await get('/x')
      expect((await get('/x')).text).to.equal('[1]')
    })
  })
})
