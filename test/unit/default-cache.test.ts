/* The default cache behind registryCacheMiddleware, invalidateOn and attachSubscriber. Each test gets a fresh global state. */
import { EventEmitter } from 'node:events'
import { createServer } from 'node:http'
import { expect } from 'chai'
import express from 'express'
import {
  attachSubscriber,
  configureRegistryCache,
  createRegistryCache,
  defaultCache,
  invalidateOn,
  registryCacheMiddleware,
} from '../../lib/index.ts'
import { thrownBy } from '../helpers/failures.ts'
import { createFakeClock } from '../helpers/fake-clock.ts'
import { forEachExpress, listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const KEY = Symbol.for('express-registry-cache')
const holder = globalThis as { [KEY]?: unknown }

describe('the default cache', () => {
  const given = holder[KEY]
  beforeEach(() => {
    delete holder[KEY]
  })
  after(() => {
    holder[KEY] = given
  })

  it('is made at its first use and is one and the same', () => {
    expect(defaultCache()).to.equal(defaultCache())
    expect(Object.hasOwn(globalThis, KEY)).to.equal(true)
  })

  it('is configured once: a second call is refused', () => {
    configureRegistryCache({ prefix: 'a:' })
    const error = thrownBy(() => configureRegistryCache({ prefix: 'a:' }))
    expect(error).to.include({ code: 'ERR_ALREADY_CONFIGURED', option: 'configureRegistryCache', name: 'OptionError' })
    expect(error.expected).to.match(/one call, before the first request/)
  })

  it('is not configured by options that were refused', () => {
    expect(thrownBy(() => configureRegistryCache({ defaultTtl: 0 })).code).to.equal('ERR_OPTION_RANGE')
    configureRegistryCache({ defaultTtl: 7 })
    expect(defaultCache().stats().ttls.tools).to.equal(20)
  })

  it('can not be configured once it is in use', () => {
    defaultCache()
    expect(thrownBy(() => configureRegistryCache({})).code).to.equal('ERR_ALREADY_CONFIGURED')
  })

  it('can not be configured after attachSubscriber', async () => {
    const server = serverLike()
    await attachSubscriber(server)
    expect(thrownBy(() => configureRegistryCache({})).code).to.equal('ERR_ALREADY_CONFIGURED')
    server.emit('close')
  })

  it('checks the options of a middleware when it is made', () => {
    expect(thrownBy(() => registryCacheMiddleware({ type: 'a b' })).code).to.equal('ERR_TYPE_NAME')
    expect(thrownBy(() => registryCacheMiddleware({ type: 'tools', ttl: 0 })).code).to.equal('ERR_OPTION_RANGE')
    expect(thrownBy(() => invalidateOn({ types: ['a b'] })).code).to.equal('ERR_TYPE_NAME')
    expect(thrownBy(() => registryCacheMiddleware({ type: 'tools' }).invalidateOn('a b')).code).to.equal(
      'ERR_OPTION_TYPE',
    )
  })

  forEachExpress((_name, framework) => {
    it('is configured after middlewares were made, and too late after the first request', async () => {
      const tools = registryCacheMiddleware({ type: 'tools', ttl: 20 })
      const app = framework()
      let runs = 0
      app.get('/tools', tools, (_req, res) => void res.json({ runs: ++runs }))
      const clock = createFakeClock()
      configureRegistryCache({ clock, headers: false })
      const server = await listen(app)
      expect((await request(server, { path: '/tools' })).json()).to.deep.equal({ runs: 1 })
      const hit = await request(server, { path: '/tools' })
      expect(hit.json()).to.deep.equal({ runs: 1 })
      expect(hit.headers).not.to.have.property('x-cache')
      clock.advance(20_000)
      expect((await request(server, { path: '/tools' })).json()).to.deep.equal({ runs: 2 })
      expect(thrownBy(() => configureRegistryCache({})).code).to.equal('ERR_ALREADY_CONFIGURED')
      await server.close()
    })

    it('caches and invalidates with the three documented lines', async () => {
      const items = ['a']
      let runs = 0
      const tools = framework.Router()
      tools.use(registryCacheMiddleware({ type: 'tools', ttl: 20 }), invalidateOn('POST', 'PUT', 'DELETE'))
      tools.get('/', (_req, res) => {
        runs++
        res.json(items)
      })
      tools.post('/', (_req, res) => {
        items.push('b')
        res.status(201).json({ ok: true })
      })
      const app = framework().use('/tools', tools)
      const server = await listen(app)
      const listed = async (): Promise<unknown> => (await request(server, { path: '/tools' })).json()
      expect([await listed(), await listed(), runs]).to.deep.equal([['a'], ['a'], 1])
      expect((await request(server, { path: '/tools', method: 'POST' })).status).to.equal(201)
      expect([await listed(), runs]).to.deep.equal([['a', 'b'], 2])
      await server.close()
    })

    it('fails a request before its handler when invalidateOn knows no type', async () => {
      const app = framework()
      let runs = 0
      app.post('/import', invalidateOn('POST'), (_req, res) => {
        runs++
        res.json({})
      })
      const errors: unknown[] = []
      app.use(((error, _req, res, _next) => {
        errors.push(error)
        res.status(500).json({ code: (error as { code: string }).code })
      }) satisfies express.ErrorRequestHandler)
      const server = await listen(app)
      const answer = await request(server, { path: '/import', method: 'POST' })
      expect(answer.status).to.equal(500)
      expect(answer.json()).to.deep.equal({ code: 'ERR_NO_TYPE' })
      expect(runs).to.equal(0)
      expect(errors[0]).to.include({ name: 'OptionError', option: 'invalidateOn' })
      await server.close()
    })

    it("invalidates a middleware's own type when invalidateOn was made from it", async () => {
      const tools = registryCacheMiddleware({ type: 'tools' })
      const app = framework()
      let runs = 0
      app.get('/tools', tools, (_req, res) => void res.json({ runs: ++runs }))
      app.post('/elsewhere', tools.invalidateOn(), (_req, res) => void res.json({}))
      const server = await listen(app)
      const run = async (): Promise<unknown> => (await request(server, { path: '/tools' })).json()
      expect([await run(), await run()]).to.deep.equal([{ runs: 1 }, { runs: 1 }])
      await request(server, { path: '/elsewhere', method: 'POST' })
      expect(await run()).to.deep.equal({ runs: 2 })
      await server.close()
    })
  })
})

describe('attachSubscriber', () => {
  let redis: RedisServer
  const given = holder[KEY]
  before(async () => {
    redis = await startRedis()
  })
  beforeEach(() => {
    delete holder[KEY]
    configureRegistryCache({ redis: redis.client() })
  })
  after(async () => {
    holder[KEY] = given
    await redis.stop()
  })

  const subscribers = async (): Promise<number> => {
    const reply = (await redis.command('PUBSUB', 'NUMSUB', 'mcpgw:cache:invalidate')) as [string, number]
    return Number(reply[1])
  }
  const subscribersBecome = async (count: number): Promise<void> => {
    await until(async () => (await subscribers()) === count, { describe: `${count} subscribers` })
  }

  it('refuses what is no server', async () => {
    for (const server of [undefined, null, 3000, {}, new EventEmitter(), express()]) {
      const error = thrownBy(() => attachSubscriber(server as never))
      expect(error).to.include({ code: 'ERR_OPTION_TYPE', option: 'server', received: server })
    }
    expect(await subscribers()).to.equal(0)
  })

  it('starts with the server and stops when it closes', async () => {
    const listening = await listen(createServer())
    await attachSubscriber(listening.server)
    expect(defaultCache().stats().subscribed).to.equal(true)
    expect(await subscribers()).to.equal(1)
    await listening.close()
    await subscribersBecome(0)
    expect(defaultCache().stats().subscribed).to.equal(false)
  })

  it('is idempotent: one subscription for one server attached twice, and one listener', async () => {
    const server = createServer()
    await Promise.all([attachSubscriber(server), attachSubscriber(server)])
    await attachSubscriber(server)
    expect(await subscribers()).to.equal(1)
    expect(server.listenerCount('close')).to.equal(1)
    server.emit('close')
    await subscribersBecome(0)
  })

  it('stops with the last of several servers', async () => {
    const servers = [serverLike(), serverLike(), serverLike()]
    await Promise.all(servers.map(attachSubscriber))
    servers[1]?.emit('close')
    servers[0]?.emit('close')
    await defaultCache().invalidate('tools')
    expect([defaultCache().stats().subscribed, await subscribers()]).to.deep.equal([true, 1])
    servers[2]?.emit('close')
    await subscribersBecome(0)
  })

  it('stays when a server comes as the last one goes', async () => {
    const first = serverLike()
    const second = serverLike()
    await attachSubscriber(first)
    first.emit('close')
    await attachSubscriber(second)
    await defaultCache().invalidate('tools')
    expect([defaultCache().stats().subscribed, await subscribers()]).to.deep.equal([true, 1])
    second.emit('close')
    await subscribersBecome(0)
  })

  it('starts again after the last server has gone, and notices outages as before', async () => {
    const first = serverLike()
    await attachSubscriber(first)
    first.emit('close')
    await subscribersBecome(0)
    const second = serverLike()
    await attachSubscriber(second)
    expect(await subscribers()).to.equal(1)
    const cache = defaultCache()
    const seen: boolean[] = []
    cache.on('redis', ({ up }) => seen.push(up))
    await redis.kill()
    await until(() => seen.at(-1) === false, { describe: 'the outage to be noticed' })
    await redis.restart()
    await until(() => cache.stats().redisAvailable && cache.stats().subscribed, { describe: 'the recovery' })
    second.emit('close')
    await subscribersBecome(0)
  })
})

describe('start and stop of a cache', () => {
  let redis: RedisServer
  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())

  it('may come in any order and as often as you like', async () => {
    const client = redis.client()
    const cache = createRegistryCache({ redis: client })
    await cache.stop()
    await cache.stop()
    await Promise.all([cache.start(), cache.start()])
    expect(cache.stats().subscribed).to.equal(true)
    await cache.start()
    await Promise.all([cache.stop(), cache.stop()])
    expect(cache.stats().subscribed).to.equal(false)
    await cache.start()
    await cache.set('tools', [1])
    expect(await cache.get('tools')).to.deep.equal([1])
    await cache.stop()
    expect(cache.stats().subscribed).to.equal(false)
    expect(client.status).to.equal('ready')
  })

  it('leave no listener of ours on the client', async () => {
    const client = redis.client()
    const events = ['close', 'end', 'ready', 'error', 'message', '+node', '-node']
    const counts = (): number[] => events.map((event) => client.listenerCount(event))
    const initially = counts()
    const cache = createRegistryCache({ redis: client })
    await cache.start()
    await cache.stop()
    await cache.start()
    await cache.stop()
    expect(counts()).to.deep.equal(initially)
  })

  it('are of no consequence to a cache without Redis', async () => {
    const cache = createRegistryCache()
    await cache.stop()
    await cache.start()
    await cache.set('tools', 1)
    await cache.stop()
    expect(await cache.get('tools')).to.equal(1)
  })

  it('attach nothing where the cache is disabled', async () => {
    const cache = createRegistryCache({ redis: redis.client(), enabled: false })
    await cache.start()
    expect(cache.stats().subscribed).to.equal(false)
    await cache.stop()
  })
})

/** All of a server that counts here. */
function serverLike(): EventEmitter & { close(): void } {
  return Object.assign(new EventEmitter(), { close: () => {} })
}
