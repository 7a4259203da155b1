/*
 * Requests that ask for one thing at the same time: one runs the handler, the others wait for its answer, if it may be shared.
 * Whatever becomes of the leader, nobody hangs and no flight is left (the fixture looks after each test).
 */
import { expect } from 'chai'
import type { Response } from 'express'
import type { CacheMiddlewareOptions } from '../../lib/index.ts'
import { settle } from '../helpers/fake-clock.ts'
import { type Answer, forEachExpress, request } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'
import { applications, type Gate, gate, type Started } from './fixture.ts'

forEachExpress((name, framework) => {
  describe('flights', () => {
    const start = applications()

    interface Flying extends Started {
      /** One gate per run of the handler, opened by hand. */
      readonly gates: Gate[]
      readonly runs: () => number
      /** So many requests, of which one has reached the handler and the others its flight. */
      readonly ask: (
        count: number,
        headers?: Record<string, string>,
        signal?: AbortSignal,
      ) => Promise<Promise<Answer>[]>
    }

    async function route(
      options: Partial<CacheMiddlewareOptions>,
      handler: (res: Response, run: number) => unknown,
    ): Promise<Flying> {
      const gates: Gate[] = []
      let entered = 0
      const started = await start(framework, ({ app, cached }) => {
        app.use((_req, _res, next) => {
          entered++
          next()
        })
        app.get('/x', cached(options), async (_req, res) => {
          const held = gate()
          const run = gates.push(held)
          await held.opened
          handler(res, run)
        })
      })
      const ask: Flying['ask'] = async (count, headers = {}, signal) => {
        const asked: Promise<Answer>[] = []
        for (let i = 0; i < count; i++) {
          const before = entered
          const answer = started.send({ path: '/x', headers, ...(signal && { signal }) })
          answer.catch(() => {}) // Who awaits it sees it.
          asked.push(answer)
          await until(() => entered > before)
          await settle()
        }
        return asked
      }
      return { ...started, gates, runs: () => gates.length, ask }
    }

    it('runs the handler once for 500 identical requests', async function () {
      this.timeout(20_000)
      let runs = 0
      let entered = 0
      const held = gate()
      const { get, cache } = await start(framework, ({ app, cached }) => {
        app.use((_req, _res, next) => {
          entered++
          next()
        })
        app.get('/x', cached(), async (_req, res) => {
          runs++
          await held.opened
          res.json({ runs })
        })
      })
      const asked = Array.from({ length: 500 }, () => get('/x'))
      await until(() => entered === 500, { deadlineMs: 15_000 })
      await settle()
      held.open()
      const answers = await Promise.all(asked)
      for (const answer of answers) expect(answer.json()).to.deep.equal({ runs: 1 })
      expect(runs).to.equal(1)
      const statuses = answers.map(({ headers }) => headers['cache-status'])
      expect(statuses.filter((status) => status === 'registry-cache; fwd=uri-miss; stored')).to.have.length(1)
      expect(statuses.filter((status) => status === 'registry-cache; fwd=uri-miss; collapsed')).to.have.length(499)
      expect(cache.stats()).to.include({ misses: 500, coalesced: 499, hits: 0, stores: 1 })
    })

    const ownAnswers: [string, (res: Response) => unknown][] = [
      ['says private', (res) => res.set('Cache-Control', 'private')],
      ['says no-store', (res) => res.set('Cache-Control', 'max-age=60, NO-STORE')],
      ['sets a cookie', (res) => res.cookie('sid', '1')],
      ['varies by *', (res) => res.set('Vary', '*')],
    ]
    for (const [what, mark] of ownAnswers) {
      it(`does not share an answer that ${what}, and queues nobody behind the next one for a few seconds`, async () => {
        const { ask, gates, runs, clock, cache } = await route({}, (res, run) => {
          mark(res)
          res.json({ run })
        })
        const asked = await ask(3)
        expect(runs()).to.equal(1)
        gates[0]?.open()
        // Each of the others gets a run of its own, and none waits for another.
        await until(() => runs() === 3)
        gates[2]?.open()
        gates[1]?.open()
        const own = (await Promise.all(asked)).map((answer) => answer.json<{ run: number }>().run)
        expect(own.sort()).to.deep.equal([1, 2, 3])

        const later = await ask(2)
        expect(runs()).to.equal(5)
        gates[4]?.open()
        gates[3]?.open()
        await Promise.all(later)

        clock.advance(5_000)
        const afterwards = await ask(2)
        expect(runs(), 'the mark has been forgotten').to.equal(6)
        gates[5]?.open()
        await until(() => runs() === 7)
        gates[6]?.open()
        await Promise.all(afterwards)
        expect(cache.stats()).to.include({ stores: 0, coalesced: 0 })
      })
    }

    it('lets callers with credentials and no scope neither lead a flight nor join one', async () => {
      const { ask, gates, runs } = await route({}, (res, run) => res.json({ run }))
      const anonymous = await ask(1)
      const known = await ask(3, { Authorization: 'Bearer alice' })
      expect(runs(), 'nobody waits').to.equal(4)
      for (const held of gates) held.open()
      const own = (await Promise.all([...anonymous, ...known])).map((answer) => answer.json<{ run: number }>().run)
      expect(own).to.deep.equal([1, 2, 3, 4])
    })

    it('shares a 5xx with those who wait, and neither stores nor remembers it', async () => {
      const { ask, gates, runs, cache } = await route({}, (res, run) =>
        run === 1 ? res.status(503).json({ run }) : res.json({ run }),
      )
      const asked = await ask(3)
      gates[0]?.open()
      for (const answer of await Promise.all(asked)) {
        expect([answer.status, answer.json()]).to.deep.equal([503, { run: 1 }])
      }
      expect(cache.stats()).to.deep.include({ stores: 0, notStored: { status: 1 } })
      const later = await ask(2)
      expect(runs(), 'the next one runs the handler, and those after it wait').to.equal(2)
      gates[1]?.open()
      for (const answer of await Promise.all(later)) expect(answer.json()).to.deep.equal({ run: 2 })
    })

    it('shares an answer of a status that is not stored, as a 404, with those who wait', async () => {
      const { ask, gates, runs } = await route({}, (res, run) => res.status(404).json({ run }))
      const asked = await ask(2)
      gates[0]?.open()
      for (const answer of await Promise.all(asked)) expect(answer.status).to.equal(404)
      expect(runs()).to.equal(1)
    })

    it('gives a follower the answer in the form that it asked for', async () => {
      const { ask, gates } = await route({}, (res) => res.set('ETag', '"v1"').json([1]))
      const [leader] = await ask(1, { 'If-None-Match': '"v1"' })
      const [follower] = await ask(1)
      gates[0]?.open()
      expect((await leader)?.status).to.equal(304)
      expect((await follower)?.text).to.equal('[1]')
    })

    it('gives followers with other values of what the answer varies by a run of their own', async () => {
      const { ask, gates, runs } = await route({}, (res, run) => {
        res.vary('Accept-Language').json({ run })
      })
      const asked = [...(await ask(2, { 'Accept-Language': 'de' })), ...(await ask(2, { 'Accept-Language': 'en' }))]
      expect(runs()).to.equal(1)
      gates[0]?.open()
      await until(() => runs() === 2)
      gates[1]?.open()
      const own = (await Promise.all(asked)).map((answer) => answer.json<{ run: number }>().run)
      expect(own).to.deep.equal([1, 1, 2, 2])
      expect(runs()).to.equal(2)
    })

    it('hands the lead to one of those who wait when the leading client leaves, time after time', async () => {
      const { ask, gates, runs } = await route({}, (res, run) => res.json({ run }))
      const leavers = Array.from({ length: 4 }, () => new AbortController())
      const left: Promise<Answer>[] = []
      for (const { signal } of leavers) left.push(...(await ask(1, {}, signal)))
      const asked = await ask(3)
      for (let i = 0; i < 4; i++) {
        expect(runs()).to.equal(i + 1)
        leavers[i]?.abort()
        expect(await left[i]?.catch(() => 'left')).to.equal('left')
        await until(() => runs() === i + 2)
      }
      await settle()
      expect(runs(), 'one of three leads').to.equal(5)
      gates[4]?.open()
      for (const answer of await Promise.all(asked)) expect(answer.json()).to.deep.equal({ run: 5 })
      for (const held of gates) held.open()
    })

    it('takes no harm from a handler that answers after its client has left', async () => {
      let answered: unknown
      const { gates, runs, get, listening } = await route({}, (res, run) => {
        try {
          res.json({ run })
          answered = 'without an error'
        } catch (error) {
          answered = error
        }
      })
      const leaving = new AbortController()
      const left = request(listening, { path: '/x', signal: leaving.signal }).catch(() => 'left')
      await until(() => runs() === 1)
      leaving.abort()
      await left
      const connections = (): Promise<number> =>
        new Promise((resolve) => listening.server.getConnections((_error, count) => resolve(count)))
      await until(async () => (await connections()) === 0)
      gates[0]?.open()
      await until(() => answered)
      expect(answered).to.equal('without an error')
      // Hooks that would have shown a Set-Cookie never ran, so the answer is not stored.
      const next = get('/x')
      await until(() => runs() === 2)
      gates[1]?.open()
      expect((await next).json()).to.deep.equal({ run: 2 })
    })

    it('leaves no flight behind for a client that had left before its request came to the cache', async () => {
      const held = gate()
      let runs = 0
      let entered = 0
      let isGone = false
      const { get, listening, cache } = await start(framework, ({ app, cached }) => {
        app.use(async (_req, res, next) => {
          if (++entered === 1) {
            res.on('close', () => {
              isGone = true
            })
            await held.opened
          }
          next()
        })
        app.get('/x', cached(), (_req, res) => void res.json({ run: ++runs }))
      })
      const leaving = new AbortController()
      const left = request(listening, { path: '/x', signal: leaving.signal }).catch(() => 'left')
      await until(() => entered === 1)
      leaving.abort()
      await left
      await until(() => isGone)
      held.open()
      await settle()
      // Nobody is to wait for a flight that nobody will end: the clock stands still.
      expect((await get('/x')).json()).to.deep.equal({ run: 1 })
      expect(cache.stats()).to.include({ coalesced: 0, stores: 1 })
    })

    it('lets those who wait for a silent handler go on after the bound, and leads the silence to no leak', async () => {
      const { ask, gates, runs, clock } = await route({}, (res, run) => res.json({ run }))
      const asked = await ask(3)
      await clock.advanceAsync(4_999)
      expect(runs()).to.equal(1)
      await clock.advanceAsync(1)
      await until(() => runs() === 2)
      expect(runs(), 'one of the two leads, the other waits for it').to.equal(2)
      gates[1]?.open()
      const [first, ...others] = asked
      for (const other of others) expect((await other).json()).to.deep.equal({ run: 2 })
      gates[0]?.open()
      expect((await first)?.json()).to.deep.equal({ run: 1 })
    })

    it('does not let the late end of an overtaken flight disturb the flight that runs now', async () => {
      const { ask, gates, runs, clock } = await route({}, (res, run) => res.json({ run }))
      const [first] = await ask(1)
      await clock.advanceAsync(5_000)
      const second = await ask(1)
      expect(runs()).to.equal(2)
      gates[0]?.open()
      await first
      gates[1]?.open()
      await Promise.all(second)
    })

    it('ends a flight whose leader throws', async () => {
      let runs = 0
      const held = gate()
      const { get } = await start(framework, ({ app, cached }) => {
        app.get('/x', cached(), (_req, res, next) => {
          const run = ++runs
          void held.opened.then(() => (run === 1 ? next(new Error('oops')) : res.json({ run })))
        })
      })
      const asked = [get('/x')]
      await until(() => runs === 1)
      asked.push(get('/x'))
      await settle()
      held.open()
      const [first, second] = await Promise.all(asked)
      expect(first?.status).to.equal(500)
      expect([200, 500]).to.include(second?.status)
      expect((await get('/x')).status).to.equal(200)
    })

    if (name === 'Express 5') {
      it('ends a flight whose leader rejects, and one whose leader answers nothing that is captured', async () => {
        let runs = 0
        const { get } = await start(framework, ({ app, cached }) => {
          app.get('/x', cached(), async (_req, res) => {
            const run = ++runs
            await settle()
            if (run === 1) throw new Error('oops')
            res.type('text/plain').end(String(run))
          })
        })
        const answers = await Promise.all([get('/x'), get('/x'), get('/x')])
        expect(answers.some(({ status }) => status === 500)).to.equal(true)
        const texts = (await Promise.all([get('/x'), get('/x'), get('/x')])).map(({ text }) => text)
        expect(new Set(texts).size, 'each has an answer of its own').to.equal(3)
      })
    }

    it('lets nobody join a flight that began before an invalidation', async () => {
      const { ask, gates, runs, cache } = await route({}, (res, run) => res.json({ run }))
      const early = await ask(2)
      await cache.invalidate('tools')
      const late = await ask(2)
      expect(runs(), 'one run before, one after').to.equal(2)
      gates[1]?.open()
      for (const answer of await Promise.all(late)) expect(answer.json()).to.deep.equal({ run: 2 })
      gates[0]?.open()
      for (const answer of await Promise.all(early)) expect(answer.json()).to.deep.equal({ run: 1 })
      const [hit] = await ask(1)
      expect((await hit)?.json(), 'the older answer did not replace the newer').to.deep.equal({ run: 2 })
      expect(cache.stats().notStored).to.deep.equal({ invalidated: 1 })
    })

    it('stores nothing of a flight that an invalidation overtook', async () => {
      const { ask, gates, runs, cache } = await route({}, (res, run) => res.json({ run }))
      const early = await ask(1)
      await cache.invalidate('gateways')
      gates[0]?.open()
      await Promise.all(early)
      const late = await ask(1)
      expect(runs()).to.equal(2)
      gates[1]?.open()
      expect((await late[0])?.json()).to.deep.equal({ run: 2 })
    })

    it('answers once a follower that a timeout middleware has answered already', async () => {
      const held = gate()
      let runs = 0
      const late: Response[] = []
      const { get } = await start(framework, ({ app, cached }) => {
        app.use((req, res, next) => {
          if (req.headers['x-impatient']) late.push(res)
          next()
        })
        app.get('/x', cached(), async (_req, res) => {
          runs++
          await held.opened
          res.json({ runs })
        })
      })
      const leader = get('/x')
      await until(() => runs === 1)
      const follower = get('/x', { 'X-Impatient': '1' })
      await until(() => late.length === 1)
      await settle()
      late[0]?.status(503).json({ error: 'too slow' })
      expect((await follower).status).to.equal(503)
      held.open()
      expect((await leader).json()).to.deep.equal({ runs: 1 })
      expect(runs).to.equal(1)
    })
  })
})
