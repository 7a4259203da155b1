import { expect } from 'chai'
import { createRegistryCache, type RegistryCache, type RegistryCacheOptions } from '../../lib/index.ts'
import { createFakeClock, createFakeRedis, type FakeRedis, type Publication, settle } from '../../lib/testing/index.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { testRedisContract } from './redis-contract.ts'

describe('a real Redis', () => {
  let redis: RedisServer

  before(async () => {
    redis = await startRedis()
  })

  after(() => redis.stop())

  testRedisContract(() => ({
    client: (options) => redis.client(options) as never,
    stop: () => redis.kill(),
    start: () => redis.restart(),
    freeze: () => redis.freeze(),
    thaw: () => redis.thaw(),
  }))
})

describe('createFakeRedis', () => {
  describe('behaves as a real Redis in', () => {
    let redis: FakeRedis

    before(() => {
      redis = createFakeRedis()
    })

    testRedisContract(() => redis)
  })

  const clock = createFakeClock()
  let redis: FakeRedis
  const caches: RegistryCache[] = []

  beforeEach(() => {
    redis = createFakeRedis({ clock })
  })

  afterEach(async () => {
    await Promise.all(caches.splice(0).map((cache) => cache.stop()))
  })

  async function worker(options: RegistryCacheOptions = {}): Promise<RegistryCache> {
    const silence = ['ERR_REDIS_UNAVAILABLE']
    const cache = createRegistryCache({ redis: redis.client(), clock, silence, ...options })
    caches.push(cache)
    await cache.start()
    return cache
  }

  it('needs no waiting: an invalidation has arrived when its promise resolves', async () => {
    const [one, two] = [await worker(), await worker()]
    expect(await two.wrap('tools', undefined, () => 'old')).to.equal('old')
    await one.invalidate('tools')
    expect(two.stats().invalidationsBy.worker).to.equal(2)
    expect(await two.wrap('tools', undefined, () => 'new')).to.equal('new')
  })

  it('stands still with its clock: entries expire when it is advanced', async () => {
    const [one, two] = [await worker(), await worker()]
    await one.set('tools', 1, {}, { ttl: 20 })
    clock.advance(19_999)
    expect(await two.get('tools', {})).to.equal(1)
    clock.advance(1)
    expect(await two.get('tools', {})).to.equal(undefined)
    expect(redis.keys().filter((key) => /^mcpgw:registry:tools:[0-9a-f]{32}$/.test(key))).to.deep.equal([])
  })

  it('loses publications: then others serve what was replaced, for no longer than maxStaleness', async () => {
    const [one, two] = [await worker({ maxStaleness: 5 }), await worker({ maxStaleness: 5 })]
    await two.wrap('agents', undefined, () => 'old')
    redis.bus.drop(2)
    await one.invalidate('agents')
    expect(redis.bus.dropped).to.equal(2)
    expect(await two.wrap('agents', undefined, () => 'new')).to.equal('old')
    clock.advance(5_000)
    expect(await two.wrap('agents', undefined, () => 'new')).to.equal('new')
    // No more than it was told to.
    await two.wrap('agents', undefined, () => 'new')
    await one.invalidate('agents')
    expect(await two.wrap('agents', undefined, () => 'newest')).to.equal('newest')
  })

  it('holds publications, and releases them reversed or in any order', async () => {
    const [one, two] = [await worker({ types: { a: 20, b: 20, c: 20 } }), await worker()]
    const heard: string[] = []
    two.on('invalidate', ({ tag }) => heard.push(tag.slice('registry:'.length)))
    const raiseAll = async (): Promise<void> => {
      redis.bus.hold()
      for (const type of ['a', 'b', 'c']) await one.invalidate(type)
      expect(redis.bus.held.map(({ messages }) => messages.at(-1))).to.deep.equal([
        'registry:a',
        'registry:b',
        'registry:c',
      ])
      expect(heard.splice(0)).to.deep.equal([])
    }
    await raiseAll()
    expect(redis.bus.release()).to.equal(3)
    expect(heard).to.deep.equal(['a', 'b', 'c'])
    heard.splice(0)
    await raiseAll()
    redis.bus.release({ reorder: true })
    expect(heard).to.deep.equal(['c', 'b', 'a'])
    heard.splice(0)
    await raiseAll()
    redis.bus.release({ reorder: ([a, ...others]) => [...others, a as Publication] })
    expect(heard).to.deep.equal(['b', 'c', 'a'])
    await one.invalidate('a')
    expect(heard.at(-1)).to.equal('a')
  })

  it('delays publications by its clock', async () => {
    const [one, two] = [await worker(), await worker()]
    await two.wrap('agents', undefined, () => 'old')
    redis.bus.delay(300)
    await one.invalidate('agents')
    clock.advance(299)
    expect(await two.wrap('agents', undefined, () => 'new')).to.equal('old')
    clock.advance(1)
    expect(await two.wrap('agents', undefined, () => 'new')).to.equal('new')
  })

  it('disconnects subscribers: they ask Redis about everything until they hear again', async () => {
    const [one, two] = [await worker({ maxStaleness: 600 }), await worker({ maxStaleness: 600 })]
    await two.wrap('agents', undefined, () => 'old')
    redis.bus.hold()
    await one.invalidate('agents')
    redis.bus.disconnect()
    expect(two.stats()).to.include({ subscribed: false, redisAvailable: true })
    expect(redis.bus.held).to.deep.equal([])
    expect(await two.wrap('agents', undefined, () => 'new')).to.equal('new')
    redis.bus.release()
    await settle()
    expect(two.stats().subscribed).to.equal(false)
    redis.bus.reconnect()
    await settle()
    expect(two.stats().subscribed).to.equal(true)
    await one.invalidate('agents')
    expect(await two.wrap('agents', undefined, () => 'newest')).to.equal('newest')
  })

  it('stops and starts: what was written meanwhile reaches the others afterwards', async () => {
    const [one, two] = [await worker(), await worker()]
    await two.wrap('agents', undefined, () => 'old')
    redis.stop()
    expect(one.stats().redisAvailable).to.equal(false)
    expect(await one.invalidate('agents')).to.deep.equal({ shared: false })
    expect(await two.wrap('agents', undefined, () => 'new')).to.equal('old')
    redis.start()
    await until(async () => {
      await clock.advanceAsync(100)
      return one.stats().pendingInvalidations === 0 && two.stats().redisAvailable
    })
    expect(await two.wrap('agents', undefined, () => 'new')).to.equal('new')
  })

  it('forgets its keys: that costs a miss', async () => {
    const cache = await worker({ maxStaleness: 1 })
    await cache.wrap('agents', undefined, () => 'old')
    redis.flush()
    clock.advance(1_000)
    expect(await cache.wrap('agents', undefined, () => 'new')).to.equal('new')
  })

  it('refuses options, scripts and orders that it does not know', () => {
    expect(() => createFakeRedis({ clok: clock } as never)).to.throw(TypeError, 'clock')
    expect(() => redis.client().defineCommand('mine', { lua: 'return 1' })).to.throw('mine')
    expect(() => redis.bus.release({ reorder: () => [{ channel: 'c', messages: [] }] })).to.throw(TypeError)
  })
})
