/*
 * The view of the fleet: who is there, by what each worker says of itself in Redis, and that saying so costs and breaks nothing.
 */
import { expect } from 'chai'
import {
  createRegistryCache,
  type RedisClient,
  type RegistryCache,
  type RegistryCacheOptions,
} from '../../lib/index.ts'
import { createFakeClock, createFakeRedis } from '../../lib/testing/index.ts'
import { settle } from '../helpers/fake-clock.ts'
import { CLIENTS } from '../helpers/redis-clients.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { startCluster } from '../helpers/redis-topologies.ts'
import { until } from '../helpers/until.ts'
import { forkWorker } from '../helpers/worker.ts'
import type { HeartbeatWorker } from './heartbeat-worker.ts'

const silence = ['ERR_REDIS_UNAVAILABLE']
const idOf = (cache: RegistryCache): string => cache.describe().worker
const idsSeenBy = async (cache: RegistryCache): Promise<string[]> =>
  (await cache.workers()).workers.filter(({ own }) => !own).map(({ id }) => id)

/** But for those of the subscriber, to which a clock that jumps looks like a silent connection. */
function errorsOf(cache: RegistryCache): string[] {
  const messages: string[] = []
  cache.on('error', ({ code, message }) => {
    if (code !== 'ERR_SUBSCRIBER_LOST') messages.push(message)
  })
  return messages
}

describe('the view of the fleet', function () {
  this.timeout(60_000)
  let redis: RedisServer
  const caches: RegistryCache[] = []

  before(async () => {
    redis = await startRedis()
  })
  after(() => redis.stop())
  beforeEach(() => redis.command('FLUSHALL'))
  afterEach(async () => {
    await Promise.all(caches.splice(0).map((cache) => cache.stop()))
  })

  function make(options: RegistryCacheOptions = {}): RegistryCache {
    const redisClient = redis.client() as unknown as RedisClient
    const cache = createRegistryCache({ redis: redisClient, redisTimeout: 5, silence, ...options })
    caches.push(cache)
    return cache
  }

  async function started(options: RegistryCacheOptions = {}): Promise<RegistryCache> {
    const cache = make(options)
    await cache.start()
    await until(async () => (await redis.command('ZSCORE', 'mcpgw:@workers', idOf(cache))) !== null)
    return cache
  }

  it('shows the processes that live, and no more one that was killed and whose heartbeat has run out', async () => {
    const env = { REDIS_URL: redis.url }
    const file = new URL('./heartbeat-worker.ts', import.meta.url)
    const workers = await Promise.all([1, 2, 3].map(() => forkWorker<HeartbeatWorker>(file, { env })))
    try {
      const ids = await Promise.all(workers.map((worker) => worker.call('start')))
      const looker = make()
      await until(async () => (await idsSeenBy(looker)).length === 3)
      const { known, workers: seen } = await looker.workers()
      expect(known).to.equal(true)
      const others = seen.filter(({ own }) => !own)
      expect(others.map(({ id }) => id)).to.deep.equal([...ids].sort())
      expect(others.map(({ pid }) => pid).sort()).to.deep.equal(workers.map(({ pid }) => pid).sort())
      for (const { node } of others) expect(node).to.equal(process.versions.node)
      // Sooner than the next beat is due: that it hears the others is news.
      await until(async () => (await looker.workers()).workers.every(({ own, subscribed }) => own || subscribed))

      const [killed] = workers
      await killed?.kill()
      const key = `mcpgw:@worker:${ids[0]}`
      expect(await redis.command('PTTL', key)).to.be.within(1, 15_000)
      expect(await idsSeenBy(looker), 'its heartbeat lives').to.include(ids[0])
      await redis.command('PEXPIRE', key, '1')
      await until(async () => !(await idsSeenBy(looker)).includes(ids[0] ?? ''))
      expect((await idsSeenBy(looker)).length).to.equal(2)
      await until(async () => (await redis.command('ZSCORE', 'mcpgw:@workers', ids[0] ?? '')) === null)
    } finally {
      for (const worker of workers) if (worker.isRunning) await worker.stop()
    }
  })

  it('has the one that was asked first, as it is now, and counters of the others as of their last beat', async () => {
    const clock = createFakeClock()
    const other = await started({ clock })
    const one = await started()
    await other.set('tools', 1)
    for (let n = 0; n < 3; n++) await other.get('tools')
    await one.get('prompts')
    const [own, seen] = (await one.workers()).workers
    expect(own).to.include({ id: idOf(one), own: true, misses: 1, hits: 0, beatMsAgo: 0 })
    expect(seen).to.include({ id: idOf(other), own: false, hits: 0, entries: 0 })
    clock.advance(5000)
    await until(async () => (await one.workers()).workers[1]?.hits === 3)
    const { workers } = await one.workers()
    expect(workers[1]).to.include({ stores: 1, entries: 1, bytes: other.stats().bytes, misses: 0 })
  })

  it('counts the age of a heartbeat by the expiry of its key, whatever the wall clocks say', async () => {
    const other = await started({ clock: createFakeClock(Date.UTC(2001, 0, 1)) })
    const one = make({ clock: createFakeClock(Date.UTC(2040, 0, 1)) })
    await redis.command('PEXPIRE', `mcpgw:@worker:${idOf(other)}`, '9000')
    const [, seen] = (await one.workers()).workers
    expect(seen?.beatMsAgo).to.be.within(6000, 15_000)
    expect(seen?.startedAtMs).to.equal(Date.UTC(2001, 0, 1))
  })

  it('loses a worker as soon as that has stopped, and has none that was never started', async () => {
    const [one, two, idle] = [await started(), await started(), make()]
    expect((await idsSeenBy(idle)).length).to.equal(2)
    expect(await idsSeenBy(one)).to.deep.equal([idOf(two)])
    await two.stop()
    expect(await idsSeenBy(one)).to.deep.equal([])
    expect(await redis.command('KEYS', '*@worker:*')).to.deep.equal([`mcpgw:@worker:${idOf(one)}`])
    await two.start()
    await until(async () => (await idsSeenBy(one)).includes(idOf(two)))
  })

  it('is what was seen last while Redis is down, and is known again soon after it is back', async () => {
    const options = { redisTimeout: 0.5, breaker: { probeEvery: 0.1 } }
    const [one, two] = [await started(options), await started(options)]
    expect(await idsSeenBy(one)).to.deep.equal([idOf(two)])
    await redis.kill()
    await until(() => !one.stats().redisAvailable && !two.stats().redisAvailable)
    const down = await one.workers()
    expect(down.known).to.equal(false)
    expect(down.workers.map(({ id }) => id)).to.deep.equal([idOf(one), idOf(two)])
    await redis.restart()
    // Sooner than the next beat is due: reconnecting is an occasion.
    await until(async () => {
      const { known, workers } = await one.workers()
      return known && workers.length === 2
    })
  })

  it('takes nothing for a worker that no worker has written', async () => {
    const one = await started()
    await redis.command('ZADD', 'mcpgw:@workers', '9e15', 'a:b', '9e15', 'forged', '9e15', 'eternal', '9e15', 'empty')
    await redis.command('HSET', 'mcpgw:@worker:forged', 'host', 'h'.repeat(1000), 'hits', 'many', 'pid', '-1')
    await redis.command('EXPIRE', 'mcpgw:@worker:forged', '10')
    await redis.command('HSET', 'mcpgw:@worker:eternal', 'host', 'h')
    await redis.command('HSET', 'mcpgw:@worker:empty', 'other', '1')
    await redis.command('EXPIRE', 'mcpgw:@worker:empty', '10')
    const [, ...others] = (await one.workers()).workers
    expect(others.map(({ id, hits, pid, host }) => [id, hits, pid, host.length])).to.deep.equal([['forged', 0, 0, 256]])
  })

  for (const [name, connect] of Object.entries(CLIENTS)) {
    it(`is the same through ${name}, behind a key prefix`, async () => {
      const made = [1, 2].map(() => connect({ port: redis.port, keyPrefix: 'app:' }) as unknown as RedisClient)
      try {
        const [one, two] = made.map((client) => make({ redis: client }))
        if (!one || !two) throw new Error('there are two')
        await Promise.all([one.start(), two.start()])
        await until(async () => (await idsSeenBy(one)).length === 1 && (await idsSeenBy(two)).length === 1)
        expect(await redis.command('TTL', `app:mcpgw:@worker:${idOf(one)}`)).to.be.within(1, 15)
        await redis.command('PEXPIRE', `app:mcpgw:@worker:${idOf(two)}`, '1')
        await until(async () => (await idsSeenBy(one)).length === 0)
        await one.stop()
        await two.stop()
        expect(await redis.command('KEYS', 'app:mcpgw:@worker:*')).to.deep.equal([])
      } finally {
        for (const client of made) client.disconnect()
      }
    })
  }

  it('is the same on a Cluster, where workers live in different slots', async () => {
    const setup = await startCluster()
    try {
      const fleet = Array.from({ length: 4 }, () => make({ redis: setup.client() as unknown as RedisClient }))
      const [one, two] = fleet as [RegistryCache, RegistryCache]
      await Promise.all(fleet.map((cache) => cache.start()))
      await until(async () => (await idsSeenBy(one)).length === 3, { deadlineMs: 20_000 })
      await two.stop()
      expect(await idsSeenBy(one)).to.have.members(fleet.slice(2).map(idOf))
      for (const cache of fleet) expect(cache.stats().errors).to.equal(0)
      await Promise.all(fleet.map((cache) => cache.stop()))
    } finally {
      await setup.stop()
    }
  })

  describe('for a user whose ACL was made before there were heartbeats', () => {
    const older =
      '~mcpgw:registry:* ~mcpgw:*:@epoch &mcpgw:cache:invalidate -@all +ping +info +get +mget +set +del +exists'
    const rules = `on >secret resetkeys resetchannels ${older} +pttl +ttl +expire +time +eval +evalsha +publish +subscribe`

    it('warns once, and everything else goes on', async () => {
      const codes: string[] = []
      const nothing = (): void => {}
      const logger = {
        debug: nothing,
        info: nothing,
        error: nothing,
        warn: (_message: string, about: unknown) => void codes.push((about as { code: string }).code),
      }
      for (const rule of [rules, `${rules} ~*`]) {
        codes.length = 0
        await redis.command('ACL', 'SETUSER', 'registry-cache', 'reset', ...rule.split(' '))
        const clock = createFakeClock()
        const client = redis.client({ username: 'registry-cache', password: 'secret' }) as unknown as RedisClient
        const cache = make({ redis: client, clock, logger })
        const errors = errorsOf(cache)
        await cache.start()
        // What is asked while the subscription goes live counts for neither side of it.
        await until(() => codes.length > 0 && cache.stats().subscribed)
        const refusals = async (): Promise<number> => {
          const log = (await redis.command('ACL', 'LOG')) as unknown[][]
          return log.reduce((sum, entry) => sum + Number(entry[1]), 0)
        }
        const before = await refusals()
        for (let n = 0; n < 5; n++) await clock.advanceAsync(5000)
        // The jumps can have cost the subscription, and what is stored while it comes back is not kept.
        await until(async () => {
          await clock.advanceAsync(100)
          return cache.stats().subscribed
        })
        await cache.set('tools', 1)
        expect(await cache.get('tools')).to.equal(1)
        expect(await cache.invalidate('tools')).to.deep.equal({ shared: true })
        expect((await cache.workers()).known, 'it may not read, either').to.equal(false)
        expect(codes).to.deep.equal(['ERR_HEARTBEAT_REFUSED'])
        expect(cache.stats().redisAvailable).to.equal(true)
        expect(errors).to.deep.equal([])
        // That of the look at the fleet alone.
        expect((await refusals()) - before).to.equal(1)
        await cache.stop()
      }
    })
  })
})

describe('a heartbeat', () => {
  async function worker(options: RegistryCacheOptions = {}) {
    const clock = createFakeClock()
    const redis = createFakeRedis({ clock })
    const client = redis.client()
    const cache = createRegistryCache({ redis: client, clock, silence, ...options })
    let beats = 0
    const counted = client as unknown as { registryCacheBeat(...args: unknown[]): Promise<unknown> }
    const { registryCacheBeat } = counted
    counted.registryCacheBeat = (...args) => {
      beats++
      return registryCacheBeat(...args)
    }
    await cache.start()
    await until(() => beats > 0 && cache.stats().subscribed)
    await settle()
    beats = 0
    return { cache, clock, redis, client, beats: () => beats }
  }

  it('comes every five seconds, and no more after stop()', async () => {
    const { cache, clock, beats } = await worker()
    await clock.advanceAsync(4999)
    expect(beats()).to.equal(0)
    await clock.advanceAsync(1)
    expect(beats()).to.equal(1)
    await clock.advanceAsync(10_000)
    expect(beats()).to.equal(3)
    await cache.stop()
    await clock.advanceAsync(60_000)
    expect(beats()).to.equal(3)
  })

  it('that a frozen Redis does not answer opens no breaker, is no error, and is not followed by others', async () => {
    const { cache, clock, redis, beats } = await worker({ breaker: { failures: 1 } })
    const errors = errorsOf(cache)
    redis.freeze()
    for (let n = 0; n < 10; n++) await clock.advanceAsync(5000)
    expect(cache.stats().redisAvailable).to.equal(true)
    expect(errors).to.deep.equal([])
    expect(beats()).to.equal(1)
    redis.thaw()
    // What it has to say by now.
    await until(() => beats() === 2)
    await cache.stop()
  })

  it('leaves Redis alone while the breaker is open, and comes when it has closed', async () => {
    const { cache, clock, redis, beats } = await worker({ breaker: { failures: 1, probeEvery: 600 } })
    redis.freeze()
    const asked = cache.get('tools')
    await clock.advanceAsync(300)
    await asked
    expect(cache.stats().redisAvailable).to.equal(false)
    redis.thaw()
    for (let n = 0; n < 10; n++) await clock.advanceAsync(5000)
    expect(beats()).to.equal(0)
    await clock.advanceAsync(600_000)
    expect(cache.stats().redisAvailable).to.equal(true)
    expect(beats()).to.be.above(0)
    await cache.stop()
  })

  it('is taken back before stop() resolves, as far as Redis answers', async () => {
    const { cache, clock, redis } = await worker()
    const keys = (): string[] => redis.keys().filter((key) => key.includes('@worker'))
    expect(keys()).to.have.lengthOf(2)
    redis.freeze()
    let isStopped = false
    const stopped = cache.stop().then(() => {
      isStopped = true
    })
    await clock.advanceAsync(100)
    expect(isStopped).to.equal(false)
    redis.thaw()
    await stopped
    expect(keys()).to.deep.equal([])
    await cache.start()
    await until(() => keys().length === 2)
    redis.freeze()
    const late = cache.stop()
    await clock.advanceAsync(1000)
    await late
  })

  it('comes when the subscription has gone or come back: that is news', async () => {
    const { cache, clock, redis } = await worker()
    const looker = createRegistryCache({ redis: redis.client(), clock, silence })
    const isSubscribed = async (): Promise<boolean | undefined> => (await looker.workers()).workers[1]?.subscribed
    expect(await isSubscribed()).to.equal(true)
    redis.bus.disconnect()
    await until(async () => (await isSubscribed()) === false)
    await cache.stop()
    await looker.stop()
  })

  it('connects no client that waits for its first use', async () => {
    const clock = createFakeClock()
    const client = createFakeRedis({ clock }).client({ lazyConnect: true })
    const cache = createRegistryCache({ redis: client, clock, silence })
    await cache.start()
    await clock.advanceAsync(15_000)
    expect(client.status).to.equal('wait')
    await cache.get('tools')
    await until(async () => (await client.zrange('mcpgw:@workers', 0, -1)).length === 1)
    await cache.stop()
  })

  it('is no round trip of a request in the figures', async () => {
    const { cache, clock } = await worker()
    await clock.advanceAsync(20_000)
    expect(cache.stats().redis?.roundTrips).to.equal(0)
    await cache.stop()
  })

  it('is not needed without Redis: the worker is its own fleet', async () => {
    const cache = createRegistryCache()
    const { known, workers } = await cache.workers()
    expect([known, workers.map(({ id, own, pid }) => [id, own, pid])]).to.deep.equal([
      true,
      [[idOf(cache), true, process.pid]],
    ])
  })
})
