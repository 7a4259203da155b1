/*
 * What the cache relies on in a Redis and its client, in commands and from above. Run against a real server and against the fake
 * one, so that whoever tests an application with the fake sees what the real one would do.
 */
import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import {
  createRegistryCache,
  type RedisClient,
  type RegistryCache,
  type RegistryCacheOptions,
} from '../../lib/index.ts'
import type { Commands } from '../../lib/tiers/redis-client.ts'
import { defineScripts } from '../../lib/tiers/scripts.ts'
import { until } from '../helpers/until.ts'

export interface ClientOptions {
  readonly keyPrefix?: string
  readonly db?: number
  readonly lazyConnect?: boolean
}

/** What tests ask beside what the cache uses. */
type Client = Commands & {
  publish(channel: string, message: string): Promise<number>
  get(key: string): Promise<string | null>
  pttl(key: string): Promise<number>
}

export interface RedisUnderTest {
  client(options?: ClientOptions): RedisClient
  /** Ends every connection and takes none until `start`. */
  stop(): Promise<void> | void
  start(): Promise<void> | void
  freeze(): void
  thaw(): void
}

const CHANNEL = 'contract:channel'

export function testRedisContract(get: () => RedisUnderTest): void {
  const clients: Client[] = []
  const caches: RegistryCache[] = []

  function connect(options: ClientOptions = {}): Client {
    const client = get().client(options) as unknown as Client
    defineScripts(client as unknown as RedisClient)
    clients.push(client)
    return client
  }

  function worker(options: RegistryCacheOptions = {}): RegistryCache {
    const cache = createRegistryCache({
      redis: get().client(),
      redisTimeout: 5,
      silence: ['ERR_REDIS_UNAVAILABLE'],
      ...options,
    })
    caches.push(cache)
    return cache
  }

  async function twoWorkers(options: RegistryCacheOptions = {}): Promise<[RegistryCache, RegistryCache]> {
    const pair: [RegistryCache, RegistryCache] = [worker(options), worker(options)]
    await Promise.all(pair.map((cache) => cache.start()))
    await until(() => pair.every((cache) => cache.stats().subscribed), { describe: 'both subscriptions' })
    return pair
  }

  const newKey = (): string => `contract:${randomBytes(6).toString('hex')}`

  /** ARGV of a raise. */
  const raiseArgs = (tag: string, floor = 0, step = 7) => [floor, step, 100, CHANNEL, '0a1b2c3d', `w api ${tag}`, tag]

  async function listener(): Promise<{ heard: string[]; client: Client }> {
    const client = connect().duplicate({ lazyConnect: true, autoResubscribe: false }) as unknown as Client
    clients.push(client)
    const heard: string[] = []
    client.on('message', (channel, message) => heard.push(`${channel} ${message}`))
    await client.connect()
    await client.subscribe(CHANNEL)
    return { heard, client }
  }

  afterEach(async () => {
    await Promise.all(caches.splice(0).map((cache) => cache.stop()))
    for (const client of clients.splice(0)) client.disconnect()
  })

  describe('commands', () => {
    it('set with an expiry, and only where nothing is', async () => {
      const [client, key] = [connect(), newKey()]
      expect(await client.set(key, 'one', 'PX', 60_000)).to.equal('OK')
      expect(await client.set(key, 'two', 'PX', 60_000, 'NX')).to.equal(null)
      expect(await client.get(key)).to.equal('one')
      expect(await client.pttl(key)).to.be.within(50_000, 60_000)
      expect(await client.unlink(key, newKey())).to.equal(1)
      expect(await client.exists(key)).to.equal(0)
      expect(await client.pttl(key)).to.equal(-2)
      expect(await client.set(key, 'three', 'PX', 20, 'NX')).to.equal('OK')
      await until(async () => (await client.exists(key)) === 0)
    })

    it('read several keys at once, bytes as they were', async () => {
      const [client, key, other] = [connect(), newKey(), newKey()]
      const bytes = Buffer.from([0, 255, 13, 10, 128])
      await client.set(key, bytes, 'PX', 60_000)
      const [life, values] = await Promise.all([client.pttl(key), client.mgetBuffer(key, other)])
      expect(life).to.be.within(50_000, 60_000)
      expect(values).to.deep.equal([bytes, null])
      await client.set(other, '12', 'PX', 60_000)
      expect(await client.mget(newKey(), other)).to.deep.equal([null, '12'])
    })

    it('scan for a literal prefix', async () => {
      const [client, key] = [connect(), `${newKey()}[*]`]
      for (const suffix of [':a', ':b', 'x:c']) await client.set(key + suffix, '1', 'PX', 60_000)
      const found: string[] = []
      let cursor = '0'
      do {
        const [next, keys] = await client.scan(cursor, 'MATCH', `${key.replace(/[[\]*]/g, '\\$&')}:*`, 'COUNT', 100)
        found.push(...keys)
        cursor = next
      } while (cursor !== '0')
      expect(found.sort()).to.deep.equal([`${key}:a`, `${key}:b`])
    })

    it('keep prefixes and databases apart, but not their messages', async () => {
      const key = newKey()
      await connect({ keyPrefix: 'a:' }).set(key, 'a', 'PX', 60_000)
      await connect({ db: 1 }).set(key, 'b', 'PX', 60_000)
      const plain = connect()
      expect(await plain.mget(key, `a:${key}`)).to.deep.equal([null, 'a'])
      const { heard } = await listener()
      const other = connect({ db: 1, keyPrefix: 'a:' })
      expect(await other.get(key)).to.equal(null)
      await other.registryCacheRaise(key, ...raiseArgs('t'))
      await until(() => heard.length === 2)
    })
  })

  describe('scripts', () => {
    const nowUs = () => Date.now() * 1000

    it('raise to the clock or above what was, and tell it in two messages', async () => {
      const [client, key] = [connect(), newKey()]
      const { heard } = await listener()
      const first = Number(await client.registryCacheRaise(key, ...raiseArgs('a tag')))
      expect(first).to.be.within(nowUs() - 60e6, nowUs() + 60e6)
      expect(await client.get(key)).to.equal(`${first}`)
      expect(await client.pttl(key)).to.be.within(90_000, 100_000)
      const floor = first + 1e9
      expect(await client.registryCacheRaise(key, ...raiseArgs('a tag', floor))).to.equal(`${floor + 7}`)
      expect(await client.registryCacheRaise(key, ...raiseArgs('a tag'))).to.equal(`${floor + 14}`)
      await until(() => heard.length === 6)
      expect(heard.slice(0, 2)).to.deep.equal([`${CHANNEL} epoch ${first} 0a1b2c3d w api a tag`, `${CHANNEL} a tag`])
    })

    it('raise for a foreign message unless somebody has done so', async () => {
      const [client, key] = [connect(), newKey()]
      const first = Number(await client.registryCacheRaise(key, ...raiseArgs('t', nowUs() + 1e9)))
      expect(await client.registryCacheRaiseUnlessChanged(key, ...raiseArgs('t'), first - 1)).to.equal(`${first}`)
      expect(await client.registryCacheRaiseUnlessChanged(key, ...raiseArgs('t'), first)).to.equal(`${first + 7}`)
      expect(await client.registryCacheRaiseUnlessChanged(key, ...raiseArgs('t'), 0)).to.equal(`${first + 14}`)
    })

    it('drop an epoch, telling a number above the floor', async () => {
      const [client, key] = [connect(), newKey()]
      const { heard } = await listener()
      const floor = nowUs() + 1e9
      await client.registryCacheRaise(key, ...raiseArgs('t'))
      expect(await client.registryCacheDrop(key, ...raiseArgs('t', floor))).to.equal(`${floor + 7}`)
      expect(await client.exists(key)).to.equal(0)
      await until(() => heard.length === 4)
    })

    it('open an epoch once, in silence, and renew its life past half of it', async () => {
      const [client, key] = [connect(), newKey()]
      const { heard } = await listener()
      const opened = await client.registryCacheOpen(key, 100)
      expect(Number(opened)).to.be.within(nowUs() - 60e6, nowUs() + 60e6)
      expect(await client.registryCacheOpen(key, 150)).to.equal(opened)
      expect(await client.pttl(key)).to.be.within(90_000, 100_000)
      expect(await client.registryCacheOpen(key, 1_000)).to.equal(opened)
      expect(await client.pttl(key)).to.be.within(990_000, 1_000_000)
      await client.publish(CHANNEL, 'the end')
      await until(() => heard.length > 0)
      expect(heard).to.deep.equal([`${CHANNEL} the end`])
    })

    it('reveal an epoch: the one that is there, or one from before the miss', async () => {
      const [client, key] = [connect(), newKey()]
      const [made, now, isNew] = (await client.registryCacheReveal(key, 100, 5_000)) as [string, string, number]
      expect([Number(now) - Number(made), isNew]).to.deep.equal([5_001, 1])
      const [again, , isNewAgain] = (await client.registryCacheReveal(key, 100, 1)) as [string, string, number]
      expect([again, isNewAgain]).to.deep.equal([made, 0])
    })

    it('fetch a value with what is left of its life', async () => {
      const [client, key] = [connect(), newKey()]
      expect(await client.registryCacheFetchBuffer(key)).to.deep.equal([-2, null])
      await client.set(key, 'x', 'PX', 60_000)
      const [life, value] = (await client.registryCacheFetchBuffer(key)) as [number, Buffer]
      expect(life).to.be.within(50_000, 60_000)
      expect(value.toString()).to.equal('x')
    })

    it('keep what a worker says of itself for as long as it was told', async () => {
      const [client, key] = [connect(), newKey()]
      expect(await client.registryCacheLook(key)).to.deep.equal([-2, []])
      await client.registryCacheBeat(key, 100, 'host', 'a b', 'hits', 1)
      await client.registryCacheBeat(key, 50, 'hits', 2)
      const [life, fields] = (await client.registryCacheLook(key)) as [number, string[]]
      expect(life).to.be.within(45_000, 50_000)
      expect(fields).to.deep.equal(['host', 'a b', 'hits', '2'])
      expect(await client.mget(key), 'it is no string').to.deep.equal([null])
      expect(await client.get(key).catch((error: Error) => error.name)).to.equal('ReplyError')
      expect(await client.del(key)).to.equal(1)
      expect(await client.exists(key)).to.equal(0)
    })

    it('keep the ids of workers in the order in which they came last, and forget those who do not come again', async () => {
      const [client, key] = [connect(), newKey()]
      expect(await client.zrange(key, 0, -1)).to.deep.equal([])
      for (const id of ['a', 'b', 'c', 'a']) {
        await client.registryCacheJoin(key, id, 60)
        // Scores are microseconds of the server's clock.
        const since = nowUs()
        await until(() => nowUs() > since + 1000)
      }
      expect(await client.zrange(key, 0, -1)).to.deep.equal(['b', 'c', 'a'])
      expect(await client.zrange(key, -2, -1)).to.deep.equal(['c', 'a'])
      expect(await client.pttl(key)).to.be.within(50_000, 60_000)
      expect(await client.zrem(key, 'c', 'd')).to.equal(1)
      await client.registryCacheJoin(key, 'e', 0)
      expect(await client.zrange(key, 0, -1)).to.deep.equal([])
    })

    it('unlock for the holder alone', async () => {
      const [client, key] = [connect(), newKey()]
      await client.set(key, 'mine', 'PX', 60_000)
      expect(await client.registryCacheUnlock(key, 'yours')).to.equal(0)
      expect(await client.registryCacheUnlock(key, 'mine')).to.equal(1)
      expect(await client.registryCacheUnlock(key, 'mine')).to.equal(0)
    })
  })

  describe('connections', () => {
    it('wait for their first use when they are lazy', async () => {
      const client = connect({ lazyConnect: true })
      expect(client.status).to.equal('wait')
      expect(await client.ping()).to.equal('PONG')
      expect(client.status).to.equal('ready')
    })

    it('tell of their loss and of their return, and keep commands until then', async () => {
      const { client } = await listener()
      const plain = connect()
      await plain.ping()
      const events: string[] = []
      for (const event of ['close', 'ready', 'end']) plain.on(event, () => events.push(event))
      await get().stop()
      await until(() => plain.status !== 'ready' && client.status !== 'ready')
      const answer = plain.ping()
      await get().start()
      expect(await answer).to.equal('PONG')
      expect(events[0]).to.equal('close')
      expect(events.at(-1)).to.equal('ready')
      // Its subscription went with the connection: to subscribe anew is the cache's own concern.
      await until(() => client.status === 'ready')
      expect(await plain.publish(CHANNEL, 'unheard')).to.equal(0)
      plain.disconnect()
      await until(() => events.at(-1) === 'end' && plain.status === 'end')
      const refused = await plain.ping().catch((error: Error) => error.message)
      expect(refused).to.equal('Connection is closed.')
    })

    it('hear nothing of what was published while they were away', async () => {
      const { heard, client } = await listener()
      client.disconnect()
      await connect().publish(CHANNEL, 'unheard')
      expect(await connect().publish(CHANNEL, 'unheard')).to.equal(0)
      expect(heard).to.deep.equal([])
    })
  })

  describe('two caches', () => {
    it('share what one of them loaded', async () => {
      const [one, two] = await twoWorkers()
      let loads = 0
      const load = () => ({ loads: ++loads })
      const name = newKey().replaceAll(':', '.')
      expect(await one.wrap(name, {}, load)).to.deep.equal({ loads: 1 })
      await until(async () => (await two.get(name, {})) !== undefined)
      expect(await two.wrap(name, {}, load)).to.deep.equal({ loads: 1 })
      expect(two.stats().redisHits).to.equal(1)
    })

    it('invalidate for each other, also where a load is under way', async () => {
      const [one, two] = await twoWorkers()
      const name = newKey().replaceAll(':', '.')
      let data = 'old'
      let finish = (): void => {}
      const held = new Promise<void>((resolve) => {
        finish = resolve
      })
      const loading = two.wrap(name, {}, async () => {
        const read = data
        await held
        return read
      })
      await until(() => two.stats().misses === 1)
      data = 'new'
      expect(await one.invalidate(name)).to.deep.equal({ shared: true })
      await until(() => two.stats().invalidations === 1, { describe: 'the message' })
      finish()
      expect(await loading).to.equal('old')
      expect(await two.wrap(name, {}, () => data)).to.equal('new')
      expect(await one.wrap(name, {}, () => 'not called')).to.equal('new')
    })

    it('load once for both', async () => {
      const [one, two] = await twoWorkers()
      const name = newKey().replaceAll(':', '.')
      let loads = 0
      let finish = (): void => {}
      const held = new Promise<void>((resolve) => {
        finish = resolve
      })
      const load = async () => {
        loads++
        await held
        return loads
      }
      const both = [one.wrap(name, {}, load), two.wrap(name, {}, load)]
      await until(() => one.stats().misses + two.stats().misses === 2 && loads === 1)
      finish()
      expect(await Promise.all(both)).to.deep.equal([1, 1])
    })

    it('take a plain message of somebody else for an invalidation', async () => {
      const [one, two] = await twoWorkers()
      await one.set('tools', 1)
      await connect().publish('mcpgw:cache:invalidate', 'registry:tools')
      await until(() => two.stats().invalidationsBy.foreign === 1 && one.stats().invalidationsBy.foreign === 1)
      expect(await one.get('tools')).to.equal(undefined)
    })

    it('answer without a frozen Redis, and tell it what it missed when it thaws', async () => {
      const [one, two] = await twoWorkers({ redisTimeout: 0.1, breaker: { probeEvery: 0.05 } })
      const name = newKey().replaceAll(':', '.')
      await one.set(name, 'old')
      await until(async () => (await two.get(name)) === 'old')
      get().freeze()
      try {
        expect(await one.invalidate(name)).to.deep.equal({ shared: false })
        expect(await one.get(name)).to.equal(undefined)
        // Of a type that nothing is owed for, so that each asks.
        for (let i = 0; i < 4; i++) expect(await one.get('agents', { i })).to.equal(undefined)
        expect(one.stats().redisAvailable).to.equal(false)
      } finally {
        get().thaw()
      }
      await until(async () => (await two.get(name)) === undefined, { deadlineMs: 9_000 })
      await until(() => one.stats().pendingInvalidations === 0 && one.stats().redisAvailable)
    })
  })
}
