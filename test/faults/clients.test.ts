/*
 * The clients that users bring: ioredis 5 and 6, iovalkey, with the options that decide what a client does while it is not connected.
 */
import { expect } from 'chai'
import { Redis as IoRedis6 } from 'ioredis'
import type { RegistryCacheOptions } from '../../lib/index.ts'
import { type AnyClient, CLIENTS, type ClientMaker } from '../helpers/redis-clients.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { startProxy, type TcpProxy } from '../helpers/tcp-proxy.ts'
import { until } from '../helpers/until.ts'
import { type OneWorker, startOne } from './one-worker.ts'

const TIMEOUT_MS = 300
const SLACK_MS = 400

describe('the Redis clients that users bring', function () {
  this.timeout(20_000)
  let redis: RedisServer
  let proxy: TcpProxy
  let clients: AnyClient[]
  let ones: OneWorker[]

  before(async () => {
    redis = await startRedis()
    proxy = await startProxy(redis.port)
  })

  after(async () => {
    await proxy.close()
    await redis.stop()
  })

  beforeEach(async () => {
    clients = []
    ones = []
    await proxy.heal()
    await redis.command('FLUSHALL')
  })

  afterEach(async () => {
    if (redis.isRunning) redis.thaw()
    else await redis.restart()
    for (const one of ones) await one.stop()
    for (const client of clients) client.disconnect()
  })

  function connect(make: ClientMaker, options: Parameters<ClientMaker>[0] = {}): AnyClient {
    const client = make({ host: '127.0.0.1', port: proxy.port, ...options })
    client.on('error', () => {})
    clients.push(client)
    return client
  }

  async function start(client: AnyClient, options: RegistryCacheOptions = {}): Promise<OneWorker> {
    const one = await startOne(client, { redisTimeout: TIMEOUT_MS / 1_000, defaultTtl: 600, ...options })
    ones.push(one)
    return one
  }

  async function timed(work: () => Promise<{ status: number }>): Promise<number> {
    const startedAtMs = performance.now()
    expect((await work()).status).to.equal(200)
    return performance.now() - startedAtMs
  }

  for (const [name, make] of Object.entries(CLIENTS)) {
    describe(name, () => {
      it('shares entries and invalidations with another worker', async () => {
        const [a, b] = [await start(connect(make)), await start(connect(make))]
        await Promise.all([a.cache.start(), b.cache.start()])
        expect((await a.get('/items/k')).json()).to.deep.equal({ type: 'items', name: 'k', run: 1 })
        await b.get('/items/k')
        expect((await b.get('/items/k')).headers['x-cache']).to.equal('HIT')
        expect(await a.cache.invalidate('items')).to.deep.equal({ shared: true })
        await until(() => b.invalidated.includes('registry:items'))
        await a.get('/items/k')
        expect(a.runs('items') + b.runs('items')).to.be.within(2, 3)
        expect(a.errors.concat(b.errors)).to.deep.equal([])
      })

      it('holds no request longer than redisTimeout while it queues commands, and is used when Redis comes', async () => {
        await redis.kill()
        const one = await start(connect(make))
        for (let i = 0; i < 6; i++) {
          expect(await timed(() => one.get(`/items/${i}`))).to.be.below(TIMEOUT_MS + SLACK_MS)
          expect(await timed(() => one.post(`/items/${i}`))).to.be.below(TIMEOUT_MS + SLACK_MS)
        }
        await redis.restart()
        await until(() => one.cache.stats().redisAvailable && one.cache.stats().pendingInvalidations === 0)
        expect(await redis.client().exists('mcpgw:registry:items:@epoch')).to.equal(1)
      })

      it('holds no request longer than redisTimeout when the server is frozen before it is connected', async () => {
        redis.freeze()
        const one = await start(connect(make))
        const tookMs: number[] = []
        for (let i = 0; i < 6; i++) tookMs.push(await timed(() => one.get(`/items/${i}`)))
        expect(Math.max(...tookMs)).to.be.below(TIMEOUT_MS + SLACK_MS)
        expect(tookMs.filter((ms) => ms > TIMEOUT_MS / 2).length).to.be.at.most(3)
      })
    })
  }

  for (const [name, make] of Object.entries(CLIENTS)) {
    it(`is not misled by numbers that come as text: ${name} with stringNumbers`, async () => {
      const [a, b] = [
        await start(connect(make, { stringNumbers: true })),
        await start(connect(make, { stringNumbers: true })),
      ]
      await Promise.all([a.cache.start(), b.cache.start()])
      await a.get('/items/k')
      await until(async () => (await redis.client().keys('mcpgw:registry:items:*')).some((key) => !key.includes(':@')))
      expect((await b.get('/items/k')).headers['x-cache']).to.equal('HIT')
      await until(async () => (await a.cache.workers()).workers.length === 2)
      // A tag that only the answer reveals, and that is raised while it is computed: what was computed is old.
      for (const value of ['old', 'new']) {
        const load = async (): Promise<string> => {
          if (value === 'old') await b.cache.invalidate({ tag: 'gateway:1' })
          return value
        }
        expect(await a.cache.wrap('items', { id: 1 }, load, { tags: () => ['gateway:1'] })).to.equal(value)
      }
      expect(a.errors.concat(b.errors)).to.deep.equal([])
    })

    it(`works through pipelines that the client makes by itself: ${name} with enableAutoPipelining`, async () => {
      const [a, b] = [
        await start(connect(make, { enableAutoPipelining: true })),
        await start(connect(make, { enableAutoPipelining: true })),
      ]
      await Promise.all([a.cache.start(), b.cache.start()])
      const paths = Array.from({ length: 40 }, (_, i) => `/items/${i}`)
      await Promise.all(paths.map((path) => a.get(path)))
      await until(
        async () => (await redis.client().keys('mcpgw:registry:items:????????????????????????????????')).length === 40,
      )
      const answers = await Promise.all(paths.map((path) => b.get(path)))
      expect(answers.map(({ headers }) => headers['x-cache'])).to.deep.equal(paths.map(() => 'HIT'))
      expect(b.runs('items')).to.equal(0)
      expect(a.errors.concat(b.errors)).to.deep.equal([])
    })
  }

  it('uses a lazyConnect client at once: its waiting is no outage', async () => {
    const client = connect((options) => new IoRedis6(options), { lazyConnect: true })
    const one = await start(client)
    expect(client.status).to.equal('wait')
    expect(one.cache.stats().redisAvailable).to.equal(true)
    await one.get('/items/k')
    expect(client.status).to.equal('ready')
    expect(one.cache.stats().redisMisses).to.equal(1)
    expect(one.errors).to.deep.equal([])
    await until(
      async () => (await redis.client().keys('mcpgw:registry:items:????????????????????????????????')).length === 1,
    )
  })

  it('answers at once with enableOfflineQueue: false while nothing is connected, and recovers', async () => {
    await proxy.cut()
    const one = await start(connect((options) => new IoRedis6(options), { enableOfflineQueue: false }))
    for (let i = 0; i < 5; i++) {
      expect(await timed(() => one.get('/items/k'))).to.be.below(TIMEOUT_MS)
      expect(await timed(() => one.post('/items/k'))).to.be.below(TIMEOUT_MS)
    }
    await proxy.heal()
    await until(() => one.cache.stats().redisAvailable && one.cache.stats().pendingInvalidations === 0)
  })

  it('ends every wait with the connection, though autoResendUnfulfilledCommands would go on with it', async () => {
    const one = await start(
      connect((options) => new IoRedis6(options), { autoResendUnfulfilledCommands: true }),
      {
        redisTimeout: 5,
        maxStaleness: 0,
      },
    )
    const other = await start(redis.client() as unknown as AnyClient)
    await one.get('/items/k')
    // The question is on its way when the connection goes; it is asked once more after that, by the client alone.
    proxy.swallow({ direction: 'to-server' })
    const reading = one.get('/items/k')
    await until(() => proxy.connections().some(({ swallowedBytes }) => swallowedBytes > 0))
    await other.cache.invalidate('items')
    for (const connection of proxy.connections()) connection.destroy()
    const endedAtMs = performance.now()
    expect((await reading).json()).to.deep.equal({ type: 'items', name: 'k', run: 2 })
    expect(performance.now() - endedAtMs).to.be.below(3_000)
    await proxy.heal()
    for (const connection of proxy.connections()) connection.destroy()
    await until(() => one.cache.stats().redisAvailable)
    expect((await one.get('/items/k')).json<{ run: number }>().run).to.be.above(1)
  })

  it('works without a subscription where the user may not SUBSCRIBE', async () => {
    await redis.command('ACL', 'SETUSER', 'mute', 'on', '>pw', '~*', '+@all', '-subscribe', '&*')
    const login = { username: 'mute', password: 'pw' }
    const one = await start(
      connect((options) => new IoRedis6(options), login),
      { maxStaleness: 600 },
    )
    const other = await start(connect((options) => new IoRedis6(options)))
    await one.cache.start()
    expect(one.errors).to.include('ERR_SUBSCRIBER_LOST')
    expect(one.cache.stats().subscribed).to.equal(false)
    for (let run = 1; run <= 5; run++) {
      expect((await one.get('/items/k')).json<{ run: number }>().run).to.equal(run)
      expect((await one.get('/items/k')).headers['x-cache']).to.equal('HIT')
      await other.cache.invalidate('items')
    }
    await redis.command('ACL', 'SETUSER', 'mute', '+subscribe')
    await until(() => one.cache.stats().subscribed)
    await redis.command('ACL', 'DELUSER', 'mute')
  })
})
