/*
 * Two caches on one Redis: what one has stored the other answers, byte for byte, with its Date, an Age that counts from the
 * storing, and all of its variants.
 */
import { expect } from 'chai'
import type { Request, Response } from 'express'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { createFakeClock, type FakeClock } from '../helpers/fake-clock.ts'
import { type Answer, forEachExpress, type Listening, listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { expectSame, gate } from './fixture.ts'

interface Worker {
  readonly cache: RegistryCache
  readonly clock: FakeClock
  readonly listening: Listening
  runs: number
  get(path: string, headers?: Record<string, string>): Promise<Answer>
  close(): Promise<void>
}

type Headers = Record<string, string>
type Handler = (req: Request, res: Response) => unknown

forEachExpress((_name, framework) => {
  describe('two caches on one Redis', () => {
    let redis: RedisServer
    const workers: Worker[] = []
    let prefix = 0

    before(async () => {
      redis = await startRedis()
    })
    after(async () => await redis.stop())
    afterEach(async () => {
      for (const worker of workers.splice(0)) await worker.close()
      prefix++
    })

    async function fleet(handler: Handler, options = {}, count = 2): Promise<Worker[]> {
      for (let i = 0; i < count; i++) {
        const clock = createFakeClock()
        const cache = createRegistryCache({ redis: redis.client(), clock, prefix: `test${prefix}:`, redisTimeout: 5 })
        await cache.start()
        await until(() => cache.stats().subscribed)
        const app = framework()
        const worker: Worker = {
          cache,
          clock,
          listening: await listen(app),
          runs: 0,
          get: (path, headers = {}) => request(worker.listening, { path, headers }),
          close: async () => {
            await worker.listening.close()
            await cache.stop()
          },
        }
        app.get('/x', cache.middleware({ type: 'tools', ...options }), (req, res) => {
          worker.runs++
          return handler(req, res) as undefined
        })
        workers.push(worker)
      }
      return [...workers]
    }

    const keys = async (): Promise<string[]> =>
      (await redis.command('KEYS', `test${prefix}:registry:tools:*`)) as string[]
    /** Entries are written after the answer is out. */
    const stored = async (count: number): Promise<unknown> =>
      await until(async () => (await keys()).filter((key) => /:[0-9a-f]{32}$/.test(key)).length === count)

    it('replays what the other has stored byte for byte', async () => {
      const [a, b] = (await fleet((_req, res) => {
        res
          .status(200)
          .set('Link', ['</a>; rel=next', '</b>; rel=prev'] as never)
          .set('x-odd-CASE', 'é')
        res.set('ETag', 'W/"v1"').set('Vary', 'Accept-Language,X-Flavour')
        res.removeHeader('X-Powered-By')
        res.json({ text: 'wide ✓', list: Array.from({ length: 500 }, (_, i) => i) })
      })) as [Worker, Worker]
      const miss = await a.get('/x')
      await stored(2)
      const hit = await b.get('/x')
      expectSame(hit, miss)
      expectSame(await a.get('/x'), miss)
      expect((await b.get('/x', { 'If-None-Match': '"v1"' })).status).to.equal(304)
      expect([a.runs, b.runs]).to.deep.equal([1, 0])
      expect(b.cache.stats()).to.include({ redisHits: 1, hits: 2, misses: 0 })
    })

    it('keeps several variants side by side in both tiers', async () => {
      const [a, b] = (await fleet((req, res) => {
        res.vary('Accept-Language').json({ language: req.headers['accept-language'] ?? null })
      })) as [Worker, Worker]
      const languages: Headers[] = [{ 'Accept-Language': 'de' }, { 'Accept-Language': 'en' }, {}]
      const misses: Answer[] = []
      for (const headers of languages) misses.push(await a.get('/x', headers))
      await stored(4)
      for (const worker of [b, a, b]) {
        for (const [i, headers] of languages.entries()) {
          expectSame(await worker.get('/x', headers), misses[i] as Answer)
        }
      }
      expect([a.runs, b.runs]).to.deep.equal([3, 0])
      expect((await b.get('/x', { 'Accept-Language': 'fr' })).json()).to.deep.equal({ language: 'fr' })
      expect([a.runs, b.runs]).to.deep.equal([3, 1])
    })

    it("counts Age from the storing, whatever the workers' wall clocks say", async () => {
      const [a, b] = (await fleet((_req, res) => void res.set('Age', '3').json([1]))) as [Worker, Worker]
      b.clock.setNow(0)
      const miss = await a.get('/x')
      await stored(1)
      a.clock.advance(4_000)
      expect((await a.get('/x')).headers.age).to.equal('7')
      // The life in Redis is real time: what is left of it tells how old the entry is.
      const [key] = (await keys()).filter((name) => /:[0-9a-f]{32}$/.test(name)) as [string]
      await redis.command('PEXPIRE', key, '12000')
      const hit = await b.get('/x')
      expect(Number(hit.headers.age)).to.be.within(10, 11)
      expect(hit.headers.date).to.equal(miss.headers.date)
      await redis.command('DEL', key)
      b.clock.advance(2_000)
      expect(Number((await b.get('/x')).headers.age)).to.be.within(12, 13)
      b.clock.advance(10_000)
      expect((await b.get('/x')).headers['x-cache'], 'no longer than was left').to.equal('MISS')
    })

    it('answers HEAD, and keeps scopes apart, from what the other has stored', async () => {
      const scope = (req: { headers: Record<string, unknown> }): string => String(req.headers['x-tenant'])
      const [a, b] = (await fleet((req, res) => void res.json({ tenant: req.headers['x-tenant'] }), { scope })) as [
        Worker,
        Worker,
      ]
      await a.get('/x', { 'X-Tenant': 'one', Authorization: 'Bearer 1' })
      await stored(1)
      expect((await b.get('/x', { 'X-Tenant': 'two' })).json()).to.deep.equal({ tenant: 'two' })
      const head = await request(b.listening, { method: 'HEAD', path: '/x', headers: { 'X-Tenant': 'one' } })
      expect(head.headers).to.include({ 'x-cache': 'HIT', 'content-length': '16' })
      expect([a.runs, b.runs]).to.deep.equal([1, 1])
    })

    it('answers everybody else from the stale entry while one worker recomputes it', async () => {
      const held = gate()
      let runs = 0
      const [a, b] = (await fleet(
        async (_req, res) => {
          const run = ++runs
          if (run > 1) await held.opened
          res.json({ run })
        },
        { staleWhileRevalidate: 600 },
      )) as [Worker, Worker]
      await a.get('/x')
      await stored(1)
      expect((await b.get('/x')).json()).to.deep.equal({ run: 1 })
      a.clock.advance(25_000)
      b.clock.advance(25_000)
      const [key] = (await keys()).filter((name) => /:[0-9a-f]{32}$/.test(name)) as [string]
      await redis.command('PEXPIRE', key, '595000')
      const recomputed = a.get('/x')
      await until(() => runs === 2)
      for (let i = 0; i < 2; i++) {
        const other = await b.get('/x')
        expect(other.json()).to.deep.equal({ run: 1 })
        expect(other.headers['x-cache']).to.equal('STALE')
      }
      held.open()
      expect((await recomputed).json()).to.deep.equal({ run: 2 })
      expect(runs).to.equal(2)
    })
  })
})
