/*
 * Entries past their TTL: whoever finds one stale recomputes it while the others are answered from it, and it replaces errors.
 * Only an entry that merely expired: never one that an invalidation made wrong, never one whose response forbids it.
 */
import { type IncomingMessage, get as open } from 'node:http'
import { expect } from 'chai'
import type { Request, Response } from 'express'
import type { CacheMiddlewareOptions } from '../../lib/index.ts'
import { settle } from '../helpers/fake-clock.ts'
import { forEachExpress, request } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'
import { applications, type Gate, gate, headerLines, type Started } from './fixture.ts'

type Run = (res: Response, run: number, req: Request) => unknown

forEachExpress((name, framework) => {
  const start = applications()

  /** `/x`, fresh for 20 s, with this handler; its runs are counted. */
  async function route(
    options: Partial<CacheMiddlewareOptions>,
    handler: Run,
  ): Promise<Started & { readonly runs: () => number }> {
    let runs = 0
    const started = await start(framework, ({ app, cached }) => {
      app.use((_req, res, next) => {
        res.set('X-Before', 'kept')
        next()
      })
      app.get('/x', cached(options), (req, res) => handler(res, ++runs, req) as undefined)
      app.use('/things', cached(options).invalidateOn('POST'), (_req, res) => void res.json({}))
    })
    return { ...started, runs: () => runs }
  }

  describe('staleWhileRevalidate', () => {
    const windows = { staleWhileRevalidate: 30 }

    it('gives the fresh answer to the request that finds the entry stale, and the stale one to all others at once', async () => {
      const gates: Gate[] = [gate(), gate()]
      gates[0]?.open()
      const { get, clock, runs, cache } = await route(windows, async (res, run) => {
        await gates[run - 1]?.opened
        res.json({ run })
      })
      await get('/x')
      clock.advance(25_000)
      const first = get('/x')
      await until(() => runs() === 2)
      for (let i = 0; i < 3; i++) {
        const other = await get('/x')
        expect(other.json()).to.deep.equal({ run: 1 })
        expect(other.headers).to.include({
          'x-cache': 'STALE',
          age: '25',
          'cache-status': 'registry-cache; hit; ttl=-5',
        })
      }
      expect((await get('/x', { 'If-None-Match': '*' })).status).to.equal(304)
      gates[1]?.open()
      const answer = await first
      expect(answer.json()).to.deep.equal({ run: 2 })
      expect(answer.headers['x-cache']).to.equal('MISS')
      expect((await get('/x')).json()).to.deep.equal({ run: 2 })
      expect(runs()).to.equal(2)
      expect(cache.stats()).to.include({ stale: 4, hits: 5, misses: 2 })
    })

    it('ends at the very end of the window', async () => {
      const held = gate()
      const { get, clock, runs } = await route(windows, async (res, run) => {
        if (run > 1) await held.opened
        res.json({ run })
      })
      await get('/x')
      clock.advance(50_000)
      const both = Promise.all([get('/x'), get('/x')])
      await until(() => runs() === 2)
      held.open()
      for (const answer of await both) expect(answer.json()).to.deep.equal({ run: 2 })
    })

    for (const directive of ['must-revalidate', 'proxy-revalidate', 's-maxage=20', 'no-cache']) {
      it(`never serves stale what says ${directive}`, async () => {
        const held = gate()
        const { get, clock, runs } = await route({ ...windows, responseCacheControl: 'ignore' }, async (res, run) => {
          if (run > 1) await held.opened
          res.set('Cache-Control', directive).json({ run })
        })
        await get('/x')
        clock.advance(21_000)
        const first = get('/x')
        await until(() => runs() === 2)
        const other = get('/x')
        await settle()
        held.open()
        expect((await other).json()).to.deep.equal({ run: 2 })
        expect((await first).json()).to.deep.equal({ run: 2 })
      })
    }

    it('never serves an invalidated entry, were it ever so young', async () => {
      const held = gate()
      const { get, clock, runs, cache } = await route(windows, async (res, run) => {
        if (run > 1) await held.opened
        res.json({ run })
      })
      await get('/x')
      clock.advance(21_000)
      const first = get('/x')
      await until(() => runs() === 2)
      expect((await get('/x')).headers['x-cache']).to.equal('STALE')
      await cache.invalidate('tools')
      const late = get('/x')
      await until(() => runs() === 3)
      held.open()
      expect((await late).json()).to.deep.equal({ run: 3 })
      expect((await first).json()).to.deep.equal({ run: 2 })
      expect((await get('/x')).json()).to.deep.equal({ run: 3 })
    })

    it('keeps the stale entry in its window when the recomputation fails', async () => {
      const { get, clock, runs } = await route(windows, (res, run) =>
        run === 2 ? res.status(500).json({ run }) : res.json({ run }),
      )
      await get('/x')
      clock.advance(21_000)
      expect((await get('/x')).status).to.equal(500)
      const held = get('/x')
      expect((await held).json()).to.deep.equal({ run: 3 })
      expect(runs()).to.equal(3)
    })

    it('keeps the stale entry in its window when the client that recomputes it leaves', async () => {
      const held = gate()
      const { get, clock, runs, listening } = await route(windows, async (res, run) => {
        if (run === 3) await held.opened
        if (run !== 2) res.json({ run })
      })
      await get('/x')
      clock.advance(21_000)
      const leaving = new AbortController()
      const left = request(listening, { path: '/x', signal: leaving.signal }).catch(() => 'left')
      await until(() => runs() === 2)
      leaving.abort()
      expect(await left).to.equal('left')
      // As soon as the server has noticed, the next one recomputes; the others still have the stale entry.
      const asked: Promise<unknown>[] = []
      await until(() => {
        if (runs() < 3) asked.push(get('/x'))
        return runs() === 3
      })
      expect((await get('/x')).headers['x-cache']).to.equal('STALE')
      held.open()
      await Promise.all(asked)
      expect((await get('/x')).json()).to.deep.equal({ run: 3 })
    })
  })

  describe('staleIfError', () => {
    const windows = { staleIfError: 30 }
    const failures: Record<string, Run> = {
      'a 5xx by res.json': (res, run) => res.status(503).set('X-Error', 'yes').json({ run }),
      'a 5xx by res.send(html)': (res) => res.status(500).set('X-Error', 'yes').send('<h1>oops</h1>'),
      'a 5xx by res.end': (res) => {
        res.statusCode = 502
        res.set('X-Error', 'yes').end('oops')
      },
      'a 5xx by write and end': (res) => {
        res.status(500).set('X-Error', 'yes').write('oo')
        res.end('ps')
      },
      'a 5xx by writeHead': (res) => res.writeHead(504, { 'X-Error': 'yes' }).end('oops'),
      'a 5xx by sendStatus': (res) => res.set('X-Error', 'yes').sendStatus(500),
      'an error given to next': (res, _run, req) => {
        res.set('X-Error', 'yes').removeHeader('X-Before')
        ;(req as Request & { next(error: unknown): void }).next(new Error('oops'))
      },
      'a thrown error': () => {
        throw new Error('oops')
      },
      'a value that json can not write': (res) => res.json({ huge: 1n }),
    }
    if (name === 'Express 5') {
      failures['a rejected promise'] = async () => {
        await settle()
        throw new Error('oops')
      }
    }
    it("lets the error out where somebody's hook throws in the middle of the stale answer", async () => {
      let runs = 0
      const { get, clock } = await start(framework, ({ app, cached }) => {
        app.use((_req, res, next) => {
          const { writeHead } = res
          res.writeHead = function hooked(this: Response, ...args: unknown[]) {
            if (runs === 2 && args[0] === 200) throw new Error('a hook')
            return Reflect.apply(writeHead, this, args)
          } as typeof writeHead
          next()
        })
        app.get('/x', cached(windows), (_req, res) => {
          runs++
          res.status(runs === 1 ? 200 : 503).json({ runs })
        })
      })
      await get('/x')
      clock.advance(25_000)
      const answer = await get('/x')
      expect([answer.status, answer.json()]).to.deep.equal([503, { runs: 2 }])
    })

    for (const [what, fail] of Object.entries(failures)) {
      it(`answers from the stale entry in place of ${what}, with the entry's headers alone`, async () => {
        const { get, clock, runs, cache } = await route(windows, (res, run, req) =>
          run === 1 ? res.set('X-Route', 'yes').json({ run }) : fail(res, run, req),
        )
        const miss = await get('/x')
        clock.advance(25_000)
        for (const expectedRuns of [2, 3]) {
          const answer = await get('/x')
          expect(answer.status).to.equal(200)
          expect(answer.json()).to.deep.equal({ run: 1 })
          expect(headerLines(answer)).to.deep.equal(headerLines(miss))
          expect(answer.headers).to.include({ 'x-cache': 'STALE', age: '25' })
          expect(runs()).to.equal(expectedRuns)
        }
        expect(cache.stats()).to.include({ hits: 2, stale: 2, misses: 1 })
        clock.advance(25_000)
        expect((await get('/x')).status, 'past the window').to.be.at.least(500)
      })
    }

    it("answers in place of finalhandler's page, its headers and its status text", async () => {
      let runs = 0
      const { get, clock, listening } = await start(framework, ({ app, cached }) => {
        app.locals.withFinalhandler = true
        app.get('/x', cached(windows), (_req, res, next) => {
          if (++runs === 1) return void res.json({ runs })
          next(Object.assign(new Error('oops'), { status: 503, headers: { 'X-Error': 'yes' } }))
        })
      })
      const miss = await get('/x')
      clock.advance(21_000)
      const message = await new Promise<IncomingMessage>((resolve) =>
        open({ port: listening.port, path: '/x', agent: false }, (incoming) => {
          incoming.resume()
          incoming.once('end', () => resolve(incoming))
        }),
      )
      expect([message.statusCode, message.statusMessage]).to.deep.equal([200, 'OK'])
      expect(headerLines(await get('/x'))).to.deep.equal(headerLines(miss))
    })

    it('shares the stale answer with those who wait', async () => {
      const held = gate()
      const { get, clock, runs } = await route(windows, async (res, run) => {
        if (run > 1) await held.opened
        run === 1 ? res.json({ run }) : res.status(500).json({ run })
      })
      await get('/x')
      clock.advance(21_000)
      const all = [get('/x')]
      await until(() => runs() === 2)
      all.push(get('/x'), get('/x'))
      await settle()
      held.open()
      for (const answer of await Promise.all(all)) expect(answer.json()).to.deep.equal({ run: 1 })
    })

    it('passes an answer below 500 as it is', async () => {
      const { get, clock } = await route(windows, (res, run) =>
        run === 1 ? res.json({ run }) : res.status(404).json({ run }),
      )
      await get('/x')
      clock.advance(21_000)
      expect((await get('/x')).status).to.equal(404)
    })

    for (const directive of ['must-revalidate', 'proxy-revalidate', 's-maxage=20', 'no-cache']) {
      it(`never replaces the error where the entry says ${directive}`, async () => {
        const { get, clock } = await route({ ...windows, responseCacheControl: 'ignore' }, (res, run) => {
          res.set('Cache-Control', directive)
          return run === 1 ? res.json({ run }) : res.status(500).json({ run })
        })
        await get('/x')
        clock.advance(21_000)
        expect((await get('/x')).status).to.equal(500)
      })
    }

    it('never answers from an invalidated entry, not even when the invalidation comes while the handler runs', async () => {
      const held = gate()
      const { get, clock, runs, cache } = await route(windows, async (res, run) => {
        if (run === 2) await held.opened
        run === 1 ? res.json({ run }) : res.status(500).json({ run })
      })
      await get('/x')
      clock.advance(21_000)
      const waiting = get('/x')
      await until(() => runs() === 2)
      await cache.invalidate('tools')
      held.open()
      expect((await waiting).json()).to.deep.equal({ run: 2 })
      expect((await get('/x')).json()).to.deep.equal({ run: 3 })
    })

    it('answers 500 when the window closes while the handler runs', async () => {
      const held = gate()
      const { get, clock, runs } = await route(windows, async (res, run) => {
        if (run === 2) await held.opened
        run === 1 ? res.json({ run }) : res.status(500).json({ run })
      })
      await get('/x')
      clock.advance(49_000)
      const waiting = get('/x')
      await until(() => runs() === 2)
      clock.advance(1_000)
      held.open()
      expect((await waiting).status).to.equal(500)
    })

    it('leaves alone a stream that has begun', async () => {
      const { get, clock } = await route(windows, (res, run) => {
        if (run === 1) return res.json({ run })
        res.type('text/plain').write('begun')
        res.statusCode = 500
        return res.end(' and ended')
      })
      await get('/x')
      clock.advance(21_000)
      const answer = await get('/x')
      expect([answer.status, answer.text]).to.deep.equal([200, 'begun and ended'])
    })
  })
})
