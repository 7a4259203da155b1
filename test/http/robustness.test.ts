/*
 * Answers that others break: chunks that Node refuses, callbacks that reject, heads that nobody set, refusals for somebody else.
 */
import { request as plainRequest } from 'node:http'
import { expect } from 'chai'
import { createRegistryCache } from '../../lib/index.ts'
import { type Answer, forEachExpress } from '../helpers/http.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { applications } from './fixture.ts'

describe('what an application may do to us', () => {
  forEachExpress((_name, express) => {
    const start = applications()

    it('invalidates by the passed type also where the cache is disabled', async () => {
      const { send } = await start(
        express,
        ({ app, cache, cached }) => {
          const router = express.Router()
          router.use(cached(), cache.invalidateOn('POST'))
          router.post('/', (_req, res) => void res.json({ ok: true }))
          app.use('/tools', router)
        },
        { enabled: false },
      )
      expect((await send({ method: 'POST', path: '/tools' })).status).to.equal(200)
    })

    it('lets Node refuse a chunk at the handler that ends with it, behind invalidateOn', async () => {
      const { send } = await start(express, ({ app, cache }) => {
        app.post('/', cache.invalidateOn({ types: ['tools'] }), (_req, res) => void res.end(123 as never))
      })
      const answer = await send({ method: 'POST', path: '/' })
      expect(answer.status).to.equal(500)
    })

    it('survives callbacks that return a promise that rejects, and takes none for an answer', async () => {
      const rejecting = (): never => Promise.reject(new Error('no')) as never
      const { get, send, cache } = await start(express, ({ app, cache, cached }) => {
        app.get('/scope', cached({ scope: rejecting }), (_req, res) => void res.json(1))
        app.get('/bypass', cached({ scope: 'public', bypass: rejecting }), (_req, res) => void res.json(1))
        app.get('/refresh', cached({ scope: 'public', refresh: rejecting }), (_req, res) => void res.json(1))
        app.get('/tags', cached({ scope: 'public', tags: rejecting }), (_req, res) => void res.json(1))
        const when = { types: ['tools'], when: rejecting, tags: rejecting }
        app.post('/when', cache.invalidateOn(when), (_req, res) => void res.json(1))
      })
      const detail = async (path: string): Promise<unknown> => (await get(path)).headers['cache-status']
      expect(await detail('/scope')).to.include('detail=scope-value')
      expect(await detail('/bypass')).to.include('detail=bypass-error')
      expect(await detail('/refresh')).to.include('detail=refresh-error')
      expect(await detail('/tags')).to.include('detail=tags-error')
      const before = cache.stats().invalidations
      expect((await send({ method: 'POST', path: '/when' })).status).to.equal(200)
      expect(cache.stats().invalidations).to.be.greaterThan(before)
    })

    for (const [what, status, headers] of [
      ['a 403', 403, {}],
      ['a 401', 401, {}],
      ['a 429', 429, {}],
      ['an answer with no-cache', 200, { 'Cache-Control': 'no-cache' }],
      ['an answer with max-age=0', 200, { 'Cache-Control': 'max-age=0' }],
    ] as const) {
      it(`does not hand ${what} to those who waited for it`, async () => {
        const running: (() => void)[] = []
        const { get } = await start(express, ({ app, cached }) => {
          app.get('/tools', cached({ scope: 'public' }), (req, res) => {
            const isFirst = running.length === 0
            running.push(() => {
              if (isFirst) res.status(status).set(headers).json({ for: req.headers['x-me'] })
              else res.json({ for: req.headers['x-me'] })
            })
          })
        })
        const first = get('/tools', { 'x-me': 'first' })
        await until(() => running.length === 1)
        const second = get('/tools', { 'x-me': 'second' })
        running[0]?.()
        expect((await first).status).to.equal(status)
        await until(() => running.length === 2)
        running[1]?.()
        expect((await second).json()).to.deep.equal({ for: 'second' })
      })
    }

    it('invalidates before the client has a body whose length only writeHead was told', async () => {
      const order: string[] = []
      const { listening } = await start(express, ({ app, cache }) => {
        app.disable('x-powered-by')
        cache.on('invalidate', () => order.push('invalidated'))
        app.post('/', cache.invalidateOn({ types: ['prompts'] }), (_req, res) => {
          res.writeHead(200, { 'Content-Length': 5 })
          res.write('hello')
        })
      })
      await new Promise<void>((resolve, reject) => {
        const req = plainRequest({ port: listening.port, host: '127.0.0.1', method: 'POST' }, (res) => {
          res.on('data', () => order.push('received'))
          res.on('end', resolve)
        })
        req.on('error', reject)
        req.end()
      })
      expect(order[0]).to.equal('invalidated')
      expect(order).to.include('received')
    })

    it('calls back the end that follows a write of the whole body', async () => {
      let isCalledBack = false
      const { send } = await start(express, ({ app, cache }) => {
        app.post('/', cache.invalidateOn({ types: ['tools'] }), (_req, res) => {
          res.setHeader('Content-Length', '5')
          res.write('hello')
          res.end(() => {
            isCalledBack = true
          })
        })
      })
      expect((await send({ method: 'POST', path: '/' })).text).to.equal('hello')
      await until(() => isCalledBack)
    })

    it("leaves a socket's own destroy in its place", async () => {
      const destroys: unknown[] = []
      const owns: unknown[] = []
      const { send } = await start(express, ({ app, cache }) => {
        app.use((req, _res, next) => {
          const { destroy } = req.socket
          req.socket.destroy = function own(error) {
            return destroy.call(this, error)
          }
          owns.push(req.socket.destroy)
          next()
        })
        app.post('/', cache.invalidateOn({ types: ['tools'] }), (req, res) => {
          res.on('finish', () => setImmediate(() => destroys.push(req.socket.destroy)))
          res.json({ ok: true })
        })
      })
      await send({ method: 'POST', path: '/' })
      await until(() => destroys.length === 1)
      expect(destroys).to.deep.equal(owns)
    })

    it('takes a Vary by a name that every object has', async () => {
      const { get } = await start(express, ({ app, cached }) => {
        app.get('/tools', cached({ scope: 'public' }), (_req, res) => void res.vary('constructor').json({ ok: true }))
      })
      expect((await get('/tools')).status).to.equal(200)
      expect((await get('/tools')).headers['x-cache']).to.equal('HIT')
    })

    it('replays numbers and booleans that were set as header values, in every worker', async () => {
      const redis = await startRedis()
      const other = createRegistryCache({ redis: redis.client() })
      const set = (res: { setHeader(name: string, value: never): unknown }): void => {
        res.setHeader('X-Ids', [1, 2] as never)
        res.setHeader('X-Flag', true as never)
      }
      let runs = 0
      const build = (cache: ReturnType<typeof createRegistryCache>) => {
        const route = cache.middleware({ type: 'tools', scope: 'public' })
        const app = express()
        app.get('/tools', route, (_req, res) => {
          runs++
          set(res)
          res.json({ ok: true })
        })
        return app
      }
      const one = await start(express, ({ app, cache }) => void app.use(build(cache)), {
        redis: redis.client(),
        clock: undefined,
      })
      const two = await start(express, ({ app }) => void app.use(build(other)))
      const shown = ({ headers }: Answer): unknown[] => [headers['x-ids'], headers['x-flag']]
      const miss = await one.get('/tools')
      await until(async () => (await redis.command('KEYS', '*tools:????????*')) !== '')
      const hit = await two.get('/tools')
      expect(hit.headers['x-cache']).to.equal('HIT')
      expect(shown(hit)).to.deep.equal(shown(miss))
      expect(runs).to.equal(1)
      await one.cache.stop()
      await other.stop()
      await redis.stop()
    })
  })
})
