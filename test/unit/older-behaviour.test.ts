/*
 * What users of the Python gateway's cache rely on, one test each. Redis is a real one, and the publisher is a plain client that
 * raises nothing, as a worker of that system is.
 */
import { expect } from 'chai'
import type { Redis } from 'ioredis'
import { createRegistryCache, type RegistryCache, type RegistryCacheOptions } from '../../lib/index.ts'
import { createFakeClock } from '../helpers/fake-clock.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

describe('behaviour kept from the older system, in memory', () => {
  it('gives each of the seven types its TTL and any other 20 seconds', async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock })
    const ttls = { tools: 20, prompts: 15, resources: 15, agents: 20, servers: 20, gateways: 20, catalog: 300 }
    for (const [type, ttl] of Object.entries({ ...ttls, widgets: 20 })) {
      await cache.set(type, type)
      clock.advance(ttl * 1000 - 1)
      expect(await cache.get(type), `${type} just before ${ttl} s`).to.equal(type)
      clock.advance(1)
      expect(await cache.get(type), `${type} at ${ttl} s`).to.equal(undefined)
    }
  })

  it('expires an entry exactly at its expiry instant', async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock })
    await cache.set('tools', 'a', { page: 1 }, { ttl: 0.25 })
    clock.advance(249)
    expect(await cache.get('tools', { page: 1 })).to.equal('a')
    clock.advance(1)
    expect(await cache.get('tools', { page: 1 })).to.equal(undefined)
  })

  it('misses and stores nothing when disabled', async () => {
    const cache = createRegistryCache({ enabled: false })
    await cache.set('tools', [1])
    expect(await cache.get('tools')).to.equal(undefined)
    let loads = 0
    const load = (): number => ++loads
    expect([await cache.wrap('tools', {}, load), await cache.wrap('tools', {}, load)]).to.deep.equal([1, 2])
    expect(cache.stats()).to.include({ enabled: false, entries: 0, stores: 0, bytes: 0 })
  })

  it("prefers an explicit ttl to the type's", async () => {
    const clock = createFakeClock()
    const cache = createRegistryCache({ clock, types: { tools: 20 } })
    await cache.set('tools', 'short', { n: 1 }, { ttl: 1 })
    await cache.set('tools', 'long', { n: 2 }, { ttl: 40 })
    await cache.wrap('tools', { n: 3 }, () => 'wrapped', { ttl: 40 })
    clock.advance(1000)
    expect(await cache.get('tools', { n: 1 })).to.equal(undefined)
    clock.advance(38_999)
    expect(await cache.get('tools', { n: 2 })).to.equal('long')
    expect(await cache.get('tools', { n: 3 })).to.equal('wrapped')
    clock.advance(1)
    expect(await cache.get('tools', { n: 2 })).to.equal(undefined)
  })

  it('does not mix two filter hashes of one type', async () => {
    const cache = createRegistryCache()
    await cache.set('tools', 'none')
    await cache.set('tools', 'a', { tags: ['a'] })
    await cache.set('tools', 'b', { tags: ['b'] })
    const read = [await cache.get('tools'), await cache.get('tools', { tags: ['a'] }), await cache.get('tools', {})]
    expect(read).to.deep.equal(['none', 'a', 'none'])
    expect(await cache.get('prompts', { tags: ['a'] })).to.equal(undefined)
  })

  it('hashes equal filters equally in any order, and one changed value differently', () => {
    const cache = createRegistryCache()
    const hash = cache.hashFilters({ limit: 5, tags: ['a', 'b'], nested: { x: 1, y: null } })
    expect(hash).to.match(/^[0-9a-f]{32}$/)
    expect(cache.hashFilters({ nested: { y: null, x: 1 }, tags: ['a', 'b'], limit: 5 })).to.equal(hash)
    for (const other of [
      { limit: 6, tags: ['a', 'b'], nested: { x: 1, y: null } },
      { limit: '5', tags: ['a', 'b'], nested: { x: 1, y: null } },
      { limit: 5, tags: ['b', 'a'], nested: { x: 1, y: null } },
      { limit: 5, tags: ['a', 'b'], nested: { x: 1 } },
    ]) {
      expect(cache.hashFilters(other)).not.to.equal(hash)
    }
    expect(cache.hashFilters()).to.equal(cache.hashFilters({}))
  })

  it('reports rates of 0 on a fresh cache', () => {
    const stats = createRegistryCache().stats()
    expect(stats).to.include({ hits: 0, misses: 0, hitRate: 0, redisHits: 0, redisMisses: 0, redisHitRate: 0 })
  })

  it('reports hits / (hits + misses) as the hit rate', async () => {
    const cache = createRegistryCache()
    await cache.set('tools', 1)
    for (const n of [0, 0, 0, 1]) await cache.get('tools', n === 0 ? {} : { n })
    expect(cache.stats()).to.include({ hits: 3, misses: 1, hitRate: 0.75 })
    expect(cache.stats().types.tools).to.include({ hits: 3, misses: 1, hitRate: 0.75, entries: 1 })
  })

  it('zeroes the counters with resetStats, and keeps what is cached', async () => {
    const cache = createRegistryCache()
    await cache.set('tools', 1)
    await cache.get('tools')
    await cache.get('tools', { n: 1 })
    await cache.invalidate('servers')
    cache.resetStats()
    const { hits, misses, hitRate, stores, invalidations, entries } = cache.stats()
    expect([hits, misses, hitRate, stores, invalidations]).to.deep.equal([0, 0, 0, 0, 0])
    expect(entries).to.equal(1)
    expect(await cache.get('tools')).to.equal(1)
  })
})

describe('behaviour kept from the older system, on Redis', () => {
  let redis: RedisServer
  let publisher: Redis
  let caches: RegistryCache[]

  before(async () => {
    redis = await startRedis()
    publisher = redis.client()
  })
  after(() => redis.stop())
  beforeEach(async () => {
    caches = []
    await publisher.flushall()
  })
  afterEach(async () => {
    await Promise.all(caches.map((cache) => cache.stop()))
  })

  async function worker(options: RegistryCacheOptions = {}): Promise<RegistryCache> {
    // Time enough that a busy machine is not taken for a broken Redis.
    const cache = createRegistryCache({ redis: redis.client(), redisTimeout: 5, ...options })
    caches.push(cache)
    await cache.start()
    expect(cache.stats().subscribed).to.equal(true)
    return cache
  }
  const publish = (message: string): Promise<number> => publisher.publish('mcpgw:cache:invalidate', message)
  const gone = async (cache: RegistryCache, type: string, filters = {}): Promise<void> => {
    await until(async () => (await cache.get(type, filters)) === undefined, { describe: `${type} to be invalidated` })
  }
  /** A value that depends on these tags. */
  const keep = (cache: RegistryCache, type: string, name: string, tags: string[]): Promise<void> =>
    cache.set(type, name, { name }, { tags, ttl: 60 })

  it('reads back from Redis what was set, of the same shape from either tier', async () => {
    const [writer, reader] = [await worker(), await worker()]
    const value = { items: [{ id: 1, name: 'ä€😀', tags: [], none: null }], next: undefined, at: new Date(0), n: 1.5 }
    await writer.set('tools', value, { page: 1 })
    const fromMemory = await writer.get('tools', { page: 1 })
    const fromRedis = await until(() => reader.get('tools', { page: 1 }))
    const shape = {
      items: [{ id: 1, name: 'ä€😀', tags: [], none: null }],
      at: '1970-01-01T00:00:00.000Z',
      n: 1.5,
    }
    expect(fromMemory).to.deep.equal(shape)
    expect(fromRedis).to.deep.equal(shape)
    expect(reader.stats()).to.include({ redisHits: 1 })
  })

  it('serves from memory when Redis refuses to store the entry', async () => {
    // The epochs may be written, the entries may not.
    await redis.command('ACL', 'SETUSER', 'reader', 'on', '>pw', '+@all', '&*', '~*:@epoch', '%R~*')
    const cache = await worker({ redis: redis.client({ username: 'reader', password: 'pw' }), lockTtl: 0 })
    const errors: string[] = []
    cache.on('error', (error) => errors.push(error.message))
    let loads = 0
    const load = (): number => ++loads
    expect(await cache.wrap('tools', {}, load)).to.equal(1)
    await until(() => errors.some((message) => message.includes('NOPERM')), { describe: 'the refusal' })
    expect(await cache.wrap('tools', {}, load)).to.equal(1)
    expect(await publisher.keys('mcpgw:registry:tools:????????????????????????????????')).to.deep.equal([])
    expect(cache.stats()).to.include({ redisAvailable: true, hits: 1 })
  })

  it('serves from memory when Redis is full', async () => {
    const cache = await worker({ lockTtl: 0 })
    await cache.set('tools', 'opens the epochs')
    await redis.config({ maxmemory: '1', 'maxmemory-policy': 'noeviction' })
    try {
      const errors: string[] = []
      cache.on('error', (error) => errors.push(error.message))
      await cache.set('tools', 'kept', { page: 1 })
      await until(() => errors.some((message) => message.includes('OOM')), { describe: 'the refusal' })
      expect(await cache.get('tools', { page: 1 })).to.equal('kept')
    } finally {
      await redis.config({ maxmemory: '0' })
    }
  })

  it('takes a value of another kind at the key of an entry for a miss, and replaces it', async () => {
    const cache = await worker()
    const key = `mcpgw:registry:tools:${cache.hashFilters()}`
    await publisher.lpush(key, 'not', 'ours')
    expect(await cache.get('tools')).to.equal(undefined)
    await cache.set('tools', 1)
    await until(async () => (await publisher.type(key)) === 'string', { describe: 'the entry in Redis' })
    expect(cache.stats()).to.include({ redisAvailable: true })
  })

  it('drops tools only on registry:tools', async () => {
    const cache = await worker()
    for (const type of ['tools', 'tools_v2', 'prompts', 'servers']) await cache.set(type, type)
    await publish('registry:tools')
    await gone(cache, 'tools')
    for (const type of ['tools_v2', 'prompts', 'servers']) expect(await cache.get(type)).to.equal(type)
  })

  it('drops by gateway on tool_lookup:gateway:ID, and nothing of another gateway', async () => {
    const cache = await worker()
    await keep(cache, 'tool_lookup', 'one', ['tool_lookup:one', 'tool_lookup:gateway:g1'])
    await keep(cache, 'tool_lookup', 'two', ['tool_lookup:two', 'tool_lookup:gateway:g2'])
    await keep(cache, 'tool_lookup', 'gateway', ['tool_lookup:gateway'])
    await publish('tool_lookup:gateway:g1')
    await gone(cache, 'tool_lookup', { name: 'one' })
    for (const name of ['two', 'gateway']) expect(await cache.get('tool_lookup', { name })).to.equal(name)
  })

  it('drops one look-up on tool_lookup:NAME', async () => {
    const cache = await worker()
    await keep(cache, 'tool_lookup', 'one', ['tool_lookup:one'])
    await keep(cache, 'tool_lookup', 'one2', ['tool_lookup:one2'])
    await publish('tool_lookup:one')
    await gone(cache, 'tool_lookup', { name: 'one' })
    expect(await cache.get('tool_lookup', { name: 'one2' })).to.equal('one2')
  })

  it('keeps names with colons whole', async () => {
    const cache = await worker()
    const name = 'ns:a b:tool'
    await keep(cache, 'tool_lookup', name, [`tool_lookup:${name}`])
    await keep(cache, 'tool_lookup', 'ns', ['tool_lookup:ns'])
    await publish(`tool_lookup:${name}`)
    await gone(cache, 'tool_lookup', { name })
    expect(await cache.get('tool_lookup', { name: 'ns' })).to.equal('ns')
  })

  it('drops admin figures of one kind on admin:KIND', async () => {
    const cache = await worker()
    await keep(cache, 'admin_stats', 'system', ['admin:system'])
    await keep(cache, 'admin_stats', 'tags', ['admin:tags'])
    await publish('admin:system')
    await gone(cache, 'admin_stats', { name: 'system' })
    expect(await cache.get('admin_stats', { name: 'tags' })).to.equal('tags')
  })

  it('drops everything of the registry on registry:', async () => {
    const cache = await worker()
    for (const type of ['tools', 'catalog', 'widgets']) await cache.set(type, type)
    await publish('registry:')
    for (const type of ['tools', 'catalog', 'widgets']) await gone(cache, type)
    expect(cache.stats().entries).to.equal(0)
  })

  it('ignores unknown, empty and colon-less messages, and lives on', async () => {
    const cache = await worker()
    await cache.set('tools', 'kept')
    await keep(cache, 'prompts', 'one', ['tool_lookup:one'])
    const invalidated: string[] = []
    cache.on('invalidate', ({ tag }) => invalidated.push(tag))
    const nonsense = [
      '',
      ':',
      'registry',
      'tools',
      'unknown:thing',
      'registry:a b',
      'tool_lookup:',
      'admin:',
      '{"a":1}',
    ]
    for (const message of [...nonsense, 'epoch', 'epoch 1', 'epoch x y z', `registry:${'x'.repeat(65)}`, '\u0000']) {
      await publish(message)
    }
    await publisher.publish('mcpgw:cache:invalidate', Buffer.from([0xff, 0xfe, 0x3a, 0xff]))
    await publish('tool_lookup:one')
    await gone(cache, 'prompts', { name: 'one' })
    expect(invalidated).to.deep.equal(['tool_lookup:one'])
    expect(await cache.get('tools')).to.equal('kept')
  })

  it('empties both tiers in all workers with invalidateAll', async () => {
    const [one, two] = [await worker(), await worker()]
    await one.set('tools', 'a')
    await one.set('widgets', 'b', { n: 1 })
    await until(() => two.get('tools'), { describe: 'the entry in Redis' })
    await until(() => two.get('widgets', { n: 1 }), { describe: 'the entry in Redis' })
    expect(await one.invalidateAll()).to.deep.equal({ shared: true })
    expect(await one.get('tools')).to.equal(undefined)
    await gone(two, 'tools')
    await gone(two, 'widgets', { n: 1 })
    expect([one.stats().entries, two.stats().entries]).to.deep.equal([0, 0])
    const third = await worker()
    expect([await third.get('tools'), await third.get('widgets', { n: 1 })]).to.deep.equal([undefined, undefined])
  })

  it('tells older workers of invalidations in their own words', async () => {
    const cache = await worker()
    const older = redis.client()
    const heard: string[] = []
    older.on('message', (_channel, message) => heard.push(message))
    await older.subscribe('mcpgw:cache:invalidate')
    await cache.invalidate('agents')
    await cache.invalidate({ tag: 'tool_lookup:a:b' })
    await cache.invalidateAll()
    await until(() => heard.includes('registry:'), { describe: 'the last message' })
    const plain = heard.filter((message) => !message.startsWith('epoch '))
    expect(plain.slice(0, 3).sort()).to.deep.equal(['registry:agents', 'registry:servers', 'registry:tools'])
    expect(plain.slice(3)).to.deep.equal(['tool_lookup:a:b', 'registry:'])
    older.disconnect()
  })

  it('starts its subscriber once, however often it is started', async () => {
    const subscribers = async (): Promise<number> =>
      Number(((await redis.command('PUBSUB', 'NUMSUB', 'mcpgw:cache:invalidate')) as [string, number])[1])
    await until(async () => (await subscribers()) === 0, { describe: 'the workers of other tests to be gone' })
    const cache = await worker()
    await Promise.all([cache.start(), cache.start()])
    expect(await subscribers()).to.equal(1)
  })

  it('may be stopped before it was started', async () => {
    const cache = createRegistryCache({ redis: redis.client() })
    await cache.stop()
    await cache.stop()
    expect(cache.stats().subscribed).to.equal(false)
  })

  it('stops in bounded time though unsubscribing hangs', async () => {
    const frozen = await startRedis()
    try {
      const cache = createRegistryCache({ redis: frozen.client(), redisTimeout: 0.1 })
      cache.on('error', () => {})
      await cache.start()
      await cache.set('tools', 1)
      frozen.freeze()
      void cache.invalidate('tools')
      const startedAt = performance.now()
      await cache.stop()
      // 0.1 s for each of the steps that wait for Redis; what is beyond is the machine's.
      expect(performance.now() - startedAt).to.be.below(3000)
      expect(cache.stats().subscribed).to.equal(false)
    } finally {
      frozen.thaw()
      await frozen.stop()
    }
  })
})
