/*
 * What `stop()` leaves behind: nothing. In a process of its own, which must end by itself, and by the listeners on the client.
 */
import { expect } from 'chai'
import type { Redis } from 'ioredis'
import { createRegistryCache } from '../../lib/index.ts'
import type { RedisClient } from '../../lib/tiers/redis-client.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { startProxy, type TcpProxy } from '../helpers/tcp-proxy.ts'
import { until } from '../helpers/until.ts'
import { forkWorker } from '../helpers/worker.ts'
import type { StoppingWorker } from './stopping-worker.ts'

const EVENTS = ['ready', 'close', 'end', 'error', 'message', 'connect', 'reconnecting', '+node', '-node']

describe('stop()', function () {
  this.timeout(20_000)
  let redis: RedisServer
  let proxy: TcpProxy

  beforeEach(async () => {
    redis = await startRedis()
    proxy = await startProxy(redis.port)
  })

  afterEach(async () => {
    await proxy.close()
    await redis.stop()
  })

  function listeners(client: Redis): Record<string, number> {
    return Object.fromEntries(EVENTS.map((event) => [event, client.listenerCount(event)]))
  }

  it('leaves as many listeners on the client as there were, and the client open', async () => {
    const client = redis.client()
    await client.ping()
    const before = listeners(client)
    const connections = async (): Promise<number> =>
      Number(/connected_clients:(\d+)/.exec(String(await client.info('clients')))?.[1])
    for (let i = 0; i < 3; i++) {
      const cache = createRegistryCache({ redis: client as unknown as RedisClient })
      await cache.start()
      await cache.set('items', 1)
      await cache.stop()
      await cache.stop()
    }
    expect(listeners(client)).to.deep.equal(before)
    await until(async () => (await connections()) === 1)
    expect(await client.ping()).to.equal('PONG')
  })

  it('is quick where there is nothing to stop, and where it was never started', async () => {
    const client = redis.client()
    const before = listeners(client)
    await createRegistryCache({ redis: client as unknown as RedisClient }).stop()
    await createRegistryCache().stop()
    expect(listeners(client)).to.deep.equal(before)
  })

  it('tells Redis once more what is pending', async () => {
    const client = redis.client()
    await client.ping()
    await redis.config({ 'min-replicas-to-write': '1' })
    const cache = createRegistryCache({ redis: client as unknown as RedisClient, silence: ['ERR_REDIS_UNAVAILABLE'] })
    expect(await cache.invalidate('items')).to.deep.equal({ shared: false })
    await redis.config({ 'min-replicas-to-write': '0' })
    await cache.stop()
    expect(await client.exists('mcpgw:registry:items:@epoch')).to.equal(1)
  })

  it('tells it also while Redis is left alone, if Redis is back', async () => {
    const client = redis.client()
    await client.ping()
    const cache = createRegistryCache({
      redis: client as unknown as RedisClient,
      redisTimeout: 0.2,
      breaker: { failures: 1, probeEvery: 600 },
      silence: ['ERR_REDIS_UNAVAILABLE'],
    })
    redis.freeze()
    expect(await cache.invalidate('items')).to.deep.equal({ shared: false })
    redis.thaw()
    expect(cache.stats().redisAvailable).to.equal(false)
    // What was sent too late for anybody to wait for is undone, so that only the last try can do it.
    await client.del('mcpgw:registry:items:@epoch')
    await cache.stop()
    expect(await client.exists('mcpgw:registry:items:@epoch')).to.equal(1)
  })

  for (const state of ['idle', 'busy', 'frozen', 'dead', 'half-open'] as const) {
    it(`lets a process end by itself when Redis is ${state}`, async () => {
      const worker = await forkWorker<StoppingWorker>(new URL('./stopping-worker.ts', import.meta.url))
      await worker.call('open', proxy.port)
      if (state === 'frozen') redis.freeze()
      if (state === 'dead') await proxy.cut()
      if (state === 'half-open') proxy.swallow()
      const left = await worker.call('stopBusily', state !== 'idle')
      expect(left.tookMs).to.be.below(3_000)
      expect(left.handles).to.deep.equal([])
      // It would be killed, and its code null, or 1 after its own limit.
      expect(await worker.stop({ deadlineMs: 10_000 })).to.equal(0)
      if (state === 'frozen') redis.thaw()
    })
  }
})
