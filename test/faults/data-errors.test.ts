/*
 * What Redis answers with an error or with nonsense, for one key: no outage, so the breaker stays closed and all else goes on.
 */
import { expect } from 'chai'
import type { Redis } from 'ioredis'
import type { RegistryCacheOptions } from '../../lib/index.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { type OneWorker, startOne } from './one-worker.ts'

describe('data errors in Redis', () => {
  let redis: RedisServer
  let client: Redis
  let one: OneWorker

  beforeEach(async () => {
    redis = await startRedis()
    client = redis.client()
    await start()
  })

  afterEach(async () => {
    await one.stop()
    await redis.stop()
  })

  async function start(options: RegistryCacheOptions = {}): Promise<void> {
    one = await startOne(client, { maxStaleness: 600, defaultTtl: 600, breaker: { failures: 1 }, ...options })
  }

  /** A worker that knows nothing yet in place of the present one. */
  async function startAnew(): Promise<void> {
    await one.stop()
    await start()
  }

  async function entryKey(): Promise<string> {
    return await until(async () => (await client.keys('mcpgw:registry:items:*')).find((key) => !key.includes(':@')))
  }

  it('runs the handler for a tag whose epoch is no string, keeps Redis, and heals at the next invalidation', async () => {
    await client.lpush('mcpgw:registry:items:@epoch', 'a list')
    for (let run = 1; run <= 5; run++) {
      expect((await one.get('/items/k')).json()).to.deep.equal({ type: 'items', name: 'k', run })
    }
    expect(one.cache.stats().redisAvailable).to.equal(true)
    expect(await client.keys('mcpgw:registry:items:????????????????????????????????')).to.deep.equal([])
    expect(await one.cache.invalidate('items')).to.deep.equal({ shared: true })
    await one.get('/items/k')
    expect((await one.get('/items/k')).headers['x-cache']).to.equal('HIT')
    expect(one.runs('items')).to.equal(6)
  })

  it('takes an epoch that is no number for a lost one', async () => {
    await one.get('/items/k')
    await entryKey()
    await client.set('mcpgw:registry:items:@epoch', 'nonsense')
    await startAnew()
    expect((await one.get('/items/k')).headers['x-cache']).to.equal('MISS')
    expect((await one.get('/items/k')).headers['x-cache']).to.equal('HIT')
    expect(Number(await client.get('mcpgw:registry:items:@epoch'))).to.be.above(1e15)
  })

  for (const [name, spoil] of [
    ['of another type', (key: string) => client.multi().del(key).hset(key, 'a', 'hash').exec()],
    ['garbage', (key: string) => client.set(key, 'garbage', 'KEEPTTL')],
    [
      'cut short',
      async (key: string) => client.set(key, ((await client.getBuffer(key)) as Buffer).subarray(0, -3), 'KEEPTTL'),
    ],
    ['empty', (key: string) => client.set(key, '', 'KEEPTTL')],
    ['of a later version', async (key: string) => client.setrange(key, 0, 'ERC9')],
  ] as [string, (key: string) => Promise<unknown>][]) {
    it(`takes an entry that is ${name} for none, and replaces it`, async () => {
      await one.get('/items/k')
      const key = await entryKey()
      await spoil(key)
      await startAnew()
      expect((await one.get('/items/k')).json()).to.deep.equal({ type: 'items', name: 'k', run: 1 })
      expect(one.cache.stats().redisAvailable).to.equal(true)
      await until(async () => (await client.getrange(key, 0, 3).catch(() => '')) === 'ERC1')
      await startAnew()
      expect((await one.get('/items/k')).headers['x-cache']).to.equal('HIT')
    })
  }

  it('lets keys that a user may not read harm no lookup that leaves together with theirs', async () => {
    const rules = ['~mcpgw:registry:items*', '~mcpgw:*@epoch', '~mcpgw:@worker*']
    await redis.command('ACL', 'SETUSER', 'half', 'on', '>pw', '&*', '+@all', ...rules)
    const ids = [1, 2, 3]
    for (const id of ids) await one.cache.set('items', `value ${id}`, { id })
    await until(async () => (await client.keys('mcpgw:registry:items:????????????????????????????????')).length === 3)
    await one.stop()
    client = redis.client({ username: 'half', password: 'pw' })
    await start()
    const secret = one.cache.get('secrets', { id: 1 })
    const values = await Promise.all(ids.map((id) => one.cache.get('items', { id })))
    expect(values).to.deep.equal(['value 1', 'value 2', 'value 3'])
    expect(await secret).to.equal(undefined)
    expect(one.errors).to.include('ERR_REDIS_REPLY')
    expect(one.cache.stats().redisAvailable).to.equal(true)
  })

  it('lets a lock that a user may not take harm none that is taken together with it', async () => {
    const entries = `~mcpgw:registry:secrets:${'?'.repeat(32)}`
    const rules = ['~mcpgw:registry:items*', entries, '~mcpgw:*@epoch', '~mcpgw:@worker*']
    await redis.command('ACL', 'SETUSER', 'half', 'on', '>pw', '&*', '+@all', 'resetkeys', ...rules)
    await one.stop()
    client = redis.client({ username: 'half', password: 'pw' })
    await start()
    const release: (() => void)[] = []
    const load = (value: string) => () => new Promise<string>((resolve) => release.push(() => resolve(value)))
    const ids = [1, 2, 3]
    const secret = one.cache.wrap('secrets', { id: 1 }, load('secret'))
    const values = ids.map((id) => one.cache.wrap('items', { id }, load(`value ${id}`)))
    await until(() => release.length === 4)
    const locks = async (): Promise<string[]> => await redis.client().keys('*:@lock:*')
    expect(await locks()).to.have.lengthOf(3)
    for (const go of release) go()
    expect(await Promise.all([secret, ...values])).to.deep.equal(['secret', 'value 1', 'value 2', 'value 3'])
    await until(async () => (await locks()).length === 0)
    expect(one.errors).to.include('ERR_REDIS_REPLY')
    expect(one.cache.stats().redisAvailable).to.equal(true)
  })

  it('drops the epoch of what it can not raise in a full Redis, and tells the others', async () => {
    await one.get('/items/k')
    const heard: string[] = []
    const listener = redis.client()
    listener.on('message', (_channel, message) => heard.push(message))
    await listener.subscribe('mcpgw:cache:invalidate')
    await redis.config({ 'maxmemory-policy': 'noeviction', maxmemory: '1' })
    expect(await one.cache.invalidate('items')).to.deep.equal({ shared: true })
    await until(() => heard.length === 2)
    expect(heard[0]).to.match(/^epoch \d{16} [0-9a-f]{8} \S+ api registry:items$/)
    expect(heard[1]).to.equal('registry:items')
    expect(await client.exists('mcpgw:registry:items:@epoch')).to.equal(0)
    for (let run = 2; run <= 4; run++) {
      expect((await one.get('/items/k')).json()).to.deep.equal({ type: 'items', name: 'k', run })
    }
    expect(one.cache.stats().redisAvailable).to.equal(true)
    await redis.config({ maxmemory: '0' })
    await one.get('/items/k')
    expect((await one.get('/items/k')).headers['x-cache']).to.equal('HIT')
  })

  it('keeps an invalidation that Redis refuses altogether, and tells it when Redis takes it', async () => {
    await one.stop()
    await start({ breaker: { failures: 3, probeEvery: 0.1 } })
    await redis.config({ 'min-replicas-to-write': '1' })
    expect(await one.cache.invalidate('items')).to.deep.equal({ shared: false })
    for (let run = 1; run <= 3; run++) expect((await one.get('/items/k')).status).to.equal(200)
    expect(one.cache.stats().pendingInvalidations).to.equal(1)
    await redis.config({ 'min-replicas-to-write': '0' })
    await until(() => one.cache.stats().pendingInvalidations === 0)
    expect(await client.exists('mcpgw:registry:items:@epoch')).to.equal(1)
  })
})
