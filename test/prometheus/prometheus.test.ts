import { expect } from 'chai'
import express from 'express'
import { Counter, register as globalRegister, Registry } from 'prom-client'
import { createRegistryCache, type RegistryCache, type RegistryCacheOptions } from '../../lib/index.ts'
import { type CacheMetricsOptions, registerCacheMetrics } from '../../lib/prometheus/index.ts'
import { createFakeClock, settle } from '../helpers/fake-clock.ts'
import { type Listening, listen, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { type Family, lint, parse } from './exposition.ts'

describe('registerCacheMetrics', () => {
  let register: Registry
  const open: { stop(): Promise<void> | void }[] = []

  beforeEach(() => {
    register = new Registry()
  })

  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.stop()
  })

  function make(options: RegistryCacheOptions = {}, metrics: CacheMetricsOptions = {}): RegistryCache {
    const cache = createRegistryCache({ silence: ['ERR_SCOPE_MISSING', 'ERR_REDIS_UNAVAILABLE'], ...options })
    open.push(cache)
    registerCacheMetrics(cache, register, metrics)
    return cache
  }

  async function serve(app: express.Express): Promise<Listening> {
    const server = await listen(app)
    open.push({ stop: () => server.close() })
    return server
  }

  async function scrape(): Promise<Map<string, Family>> {
    return parse(await register.metrics())
  }

  /** The value of one series; its labels must be exactly these, beside `cache="default"` where none is given. */
  async function figure(name: string, labels: Record<string, string> = {}): Promise<number | undefined> {
    const wanted = { cache: 'default', ...labels }
    const family =
      (await scrape()).get(`registry_cache_${name.replace(/_(count|sum)$/, '')}`) ?? (await scrape()).get(name)
    return family?.samples.find(
      (sample) =>
        sample.name === `registry_cache_${name}` &&
        Object.keys(sample.labels).length === Object.keys(wanted).length &&
        Object.entries(wanted).every(([key, value]) => sample.labels[key] === value),
    )?.value
  }

  it('counts each request once, by type and outcome', async () => {
    const clock = createFakeClock()
    const cache = make({ clock })
    let runs = 0
    let finish: (() => void) | undefined
    let arrived = 0
    const app = express()
    app.use((_req, _res, next) => {
      arrived++
      next()
    })
    app.get('/tools', cache.middleware({ type: 'tools', ttl: 1, staleWhileRevalidate: 60 }), (_req, res) => {
      runs++
      if (finish) finish = () => void res.json([runs])
      else res.json([runs])
    })
    const server = await serve(app)
    const get = (headers = {}) => request(server, { path: '/tools', headers })
    await get()
    await get()
    await get()
    await get({ authorization: 'Bearer x' })
    // A run that is held, one that waits for it, and one that takes what is stale meanwhile.
    await cache.invalidate('tools')
    finish = () => {}
    const first = get()
    await until(() => runs === 3)
    const second = get()
    await until(() => arrived === 6)
    await settle()
    finish()
    finish = undefined
    await Promise.all([first, second])
    clock.advance(1_500)
    finish = () => {}
    const third = get()
    await until(() => runs === 4)
    expect((await get()).headers['x-cache']).to.equal('STALE')
    ;(finish as () => void)()
    await third

    expect(await figure('requests_total', { type: 'tools', outcome: 'hit' })).to.equal(2)
    expect(await figure('requests_total', { type: 'tools', outcome: 'collapsed' })).to.equal(1)
    expect(await figure('requests_total', { type: 'tools', outcome: 'miss' })).to.equal(3)
    expect(await figure('requests_total', { type: 'tools', outcome: 'stale' })).to.equal(1)
    expect(await figure('requests_total', { type: 'tools', outcome: 'bypass' })).to.equal(1)
    expect(await figure('bypasses_total', { reason: 'authorization' })).to.equal(1)
    expect(runs).to.equal(4)
  })

  it('lets no counter fall when a stale entry stands in for a failure', async () => {
    const clock = createFakeClock()
    const cache = make({ clock })
    let status = 200
    const app = express()
    app.get('/tools', cache.middleware({ type: 'tools', ttl: 1, staleIfError: 60 }), async (_req, res) => {
      before.push(await counters())
      res.status(status).json([])
    })
    const before: Map<string, number>[] = []
    const counters = async () => {
      const families = [...(await scrape()).values()].filter(({ type }) => type === 'counter')
      return new Map(
        families
          .flatMap(({ samples }) => samples)
          .map((one) => [`${one.name}${JSON.stringify(one.labels)}`, one.value]),
      )
    }
    const server = await serve(app)
    await request(server, { path: '/tools' })
    clock.advance(2_000)
    status = 500
    expect((await request(server, { path: '/tools' })).status).to.equal(200)
    const after = await counters()
    for (const [series, value] of before[1] ?? []) expect(after.get(series), series).to.be.at.least(value)
    expect(await figure('requests_total', { type: 'tools', outcome: 'miss' })).to.equal(2)
    expect(await figure('requests_total', { type: 'tools', outcome: 'stale' })).to.equal(0)
    expect(await figure('stale_if_error_total', { type: 'tools' })).to.equal(1)
    expect(before).to.have.lengthOf(2)
  })

  it('tells what was not stored and why, and what memory gave up', async () => {
    const cache = make({ memory: { maxEntries: 2 } })
    const app = express()
    app.get(
      '/private',
      cache.middleware({ type: 'tools' }),
      (_req, res) => void res.set('Cache-Control', 'private').json([]),
    )
    app.get('/prompts', cache.middleware({ type: 'prompts' }), (_req, res) => void res.json([]))
    const server = await serve(app)
    await request(server, { path: '/private' })
    for (const page of [1, 2, 3, 4]) await request(server, { path: `/prompts?page=${page}` })
    expect(cache.stats().notStored).to.deep.equal({ private: 1 })
    expect(await figure('not_stored_total', { reason: 'private' })).to.equal(1)
    expect(await figure('stores_total', { type: 'prompts' })).to.equal(4)
    expect(await figure('evictions_total', { type: 'prompts' })).to.equal(2)
    expect(await figure('entries', { type: 'prompts' })).to.equal(2)
    expect(await figure('entry_bytes', { type: 'prompts' })).to.be.above(0)
    expect(await figure('memory_bytes')).to.be.at.least((await figure('entry_bytes', { type: 'prompts' })) as number)
  })

  it('observes how long hits and handlers took, in seconds, and nothing for what `set` stores', async () => {
    const clock = createFakeClock()
    const cache = make({ clock })
    const app = express()
    app.get('/tools', cache.middleware({ type: 'tools' }), (_req, res) => {
      clock.advance(1_500)
      res.json([])
    })
    const server = await serve(app)
    await request(server, { path: '/tools' })
    await request(server, { path: '/tools' })
    await cache.set('tools', 1)
    await cache.wrap('prompts', undefined, () => {
      clock.advance(250)
      return 1
    })
    expect(await figure('handler_duration_seconds_count', { type: 'tools' })).to.equal(1)
    expect(await figure('handler_duration_seconds_sum', { type: 'tools' })).to.equal(1.5)
    expect(await figure('handler_duration_seconds_sum', { type: 'prompts' })).to.equal(0.25)
    expect(await figure('hit_duration_seconds_count', { type: 'tools' })).to.equal(1)
    expect(await figure('hit_duration_seconds_sum', { type: 'tools' })).to.equal(0)
  })

  it('listens to no event when durations are not wanted', async () => {
    const cache = createRegistryCache()
    const listened: string[] = []
    const on = cache.on.bind(cache)
    cache.on = (event, listener) => {
      listened.push(event)
      return on(event, listener)
    }
    registerCacheMetrics(cache, register, { durations: false })
    expect(listened).to.deep.equal([])
    expect(await figure('requests_total', { type: 'tools', outcome: 'hit' })).to.equal(undefined)
    expect(await figure('memory_bytes')).to.equal(0)
  })

  it('gives only so many types a series of their own, and sums up the others', async () => {
    const cache = make()
    for (let i = 0; i < 150; i++) {
      await cache.set(`type${i}`, i)
      await cache.get(`type${i}`)
    }
    const { samples } = (await scrape()).get('registry_cache_requests_total') as Family
    const hits = samples.filter(({ labels }) => labels.outcome === 'hit')
    expect(hits).to.have.lengthOf(101)
    expect(await figure('requests_total', { type: 'other', outcome: 'hit' })).to.equal(50)
    expect(await figure('entries', { type: 'other' })).to.equal(50)
    // A type keeps the label that it got, whatever is met later.
    await cache.get('type149')
    await cache.get('type0')
    expect(await figure('requests_total', { type: 'other', outcome: 'hit' })).to.equal(51)
    expect(await figure('requests_total', { type: 'type0', outcome: 'hit' })).to.equal(2)
  })

  it('obeys the conventions of Prometheus, in the names, units and help of every metric', async () => {
    const cache = make()
    await cache.wrap('tools', undefined, () => 1)
    await cache.wrap('tools', undefined, () => 1)
    const families = await scrape()
    expect(families.size).to.be.above(20)
    expect([...families.keys()].filter((name) => !name.startsWith('registry_cache_'))).to.deep.equal([])
    expect(lint(families.values())).to.deep.equal([])
  })

  it('agrees with itself in every scrape, while requests run', async () => {
    const cache = make({ memory: { maxEntries: 20 } })
    const app = express()
    const middleware = cache.middleware({ type: 'tools', bypass: (req) => req.headers['x-bypass'] !== undefined })
    app.get('/tools', middleware, (_req, res) => void setImmediate(() => res.json([])))
    const server = await serve(app)
    let isOver = false
    let sent = 0
    const client = async (id: number): Promise<void> => {
      while (!isOver && sent < 5_000) {
        sent++
        const headers = sent % 5 === 0 ? { 'x-bypass': '1' } : sent % 7 === 0 ? { cookie: 'a=1' } : {}
        if (sent % 50 === 0) await cache.invalidate('tools')
        await request(server, { path: `/tools?page=${(sent * 7 + id) % 30}`, headers })
      }
    }
    const clients = Promise.all([1, 2, 3, 4, 5, 6].map(client))
    let last = 0
    for (let scrapes = 0; scrapes < 40; scrapes++) {
      const families = await scrape()
      const sum = (name: string, labels: Record<string, string> = {}): number =>
        (families.get(name)?.samples ?? [])
          .filter((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value))
          .reduce((total, { value }) => total + value, 0)
      const bypasses = sum('registry_cache_requests_total', { outcome: 'bypass' })
      expect(bypasses).to.equal(sum('registry_cache_bypasses_total'))
      const requests = sum('registry_cache_requests_total')
      expect(requests).to.be.within(last, sent)
      last = requests
      await until(() => sent >= (scrapes + 1) * 20)
    }
    isOver = true
    await clients
    const { hits, misses, bypasses } = cache.stats()
    const total = hits + misses + Object.values(bypasses).reduce((sum, count) => sum + count, 0)
    const { samples } = (await scrape()).get('registry_cache_requests_total') as Family
    expect(samples.reduce((sum, { value }) => sum + value, 0)).to.equal(total)
    expect(total).to.equal(sent)
  })

  it('looks at a cache once per scrape', async () => {
    const cache = make()
    let looks = 0
    const stats = cache.stats.bind(cache)
    cache.stats = () => {
      looks++
      return stats()
    }
    await scrape()
    expect(looks).to.equal(1)
    await scrape()
    expect(looks).to.equal(2)
  })

  describe('with several caches', () => {
    it('keeps them apart in one register by their names', async () => {
      const one = make({}, { name: 'one' })
      const two = make({}, { name: 'two' })
      await one.get('tools')
      await two.get('tools')
      await two.get('tools')
      expect(await figure('requests_total', { cache: 'one', type: 'tools', outcome: 'miss' })).to.equal(1)
      expect(await figure('requests_total', { cache: 'two', type: 'tools', outcome: 'miss' })).to.equal(2)
      expect(lint((await scrape()).values())).to.deep.equal([])
    })

    it('refuses a cache, a name or a register that would have a series twice, and says which', () => {
      const cache = make()
      const other = createRegistryCache()
      const refused = (register_: () => unknown, option: string): void => {
        expect(register_).to.throw(TypeError, option).with.property('code', 'ERR_ALREADY_REGISTERED')
      }
      refused(() => registerCacheMetrics(cache, register, { name: 'again' }), 'cache')
      refused(() => registerCacheMetrics(other, register), 'name')
      const taken = new Registry()
      new Counter({ name: 'registry_cache_requests_total', help: 'Somebody else counts too.', registers: [taken] })
      refused(() => registerCacheMetrics(other, taken), 'registry_cache_requests_total')
      expect(taken.getMetricsAsArray()).to.have.lengthOf(1)
    })

    it('takes out one of them with all of its series, and every metric with the last', async () => {
      const [one, two] = [createRegistryCache(), createRegistryCache()]
      const removeOne = registerCacheMetrics(one, register, { name: 'one' })
      const removeTwo = registerCacheMetrics(two, register, { name: 'two' })
      for (const cache of [one, two]) await cache.wrap('tools', undefined, () => 1)
      removeOne()
      removeOne()
      const text = await register.metrics()
      expect(text).to.include('cache="two"')
      expect(text).not.to.include('cache="one"')
      await one.wrap('prompts', undefined, () => 1)
      expect(await register.metrics()).not.to.include('cache="one"')
      removeTwo()
      expect(register.getMetricsAsArray()).to.deep.equal([])
      registerCacheMetrics(one, register)
      expect(await figure('requests_total', { type: 'tools', outcome: 'miss' })).to.equal(1)
    })

    it('starts anew in a register that was cleared', async () => {
      const cache = make()
      register.clear()
      const remove = registerCacheMetrics(cache, register)
      await cache.wrap('tools', undefined, () => 1)
      expect(await figure('handler_duration_seconds_count', { type: 'tools' })).to.equal(1)
      remove()
      expect(register.getMetricsAsArray()).to.deep.equal([])
    })
  })

  it('uses the global register when none is given', async () => {
    const remove = registerCacheMetrics(createRegistryCache())
    try {
      expect(globalRegister.getSingleMetric('registry_cache_requests_total')).to.be.an('object')
    } finally {
      remove()
    }
    expect(globalRegister.getSingleMetric('registry_cache_requests_total')).to.equal(undefined)
  })

  it('refuses what is no cache, no register, and options that it does not know', () => {
    const cache = createRegistryCache()
    const refused = (args: unknown[], code: string): void => {
      expect(() => Reflect.apply(registerCacheMetrics, undefined, args))
        .to.throw(TypeError)
        .with.property('code', code)
    }
    refused([{}], 'ERR_OPTION_TYPE')
    refused([cache, {}], 'ERR_OPTION_TYPE')
    refused([cache, register, { nam: 'x' }], 'ERR_OPTION_UNKNOWN')
    refused([cache, register, { name: '' }], 'ERR_OPTION_TYPE')
    refused([cache, register, { maxTypes: 0 }], 'ERR_OPTION_RANGE')
    expect(register.getMetricsAsArray()).to.deep.equal([])
  })

  describe('on Redis', () => {
    let redis: RedisServer

    before(async () => {
      redis = await startRedis()
    })

    after(() => redis.stop())

    it('has no figure of Redis for a cache without it', async () => {
      make()
      for (const name of [
        'redis_up',
        'redis_connected',
        'redis_breaker_open',
        'subscribed',
        'redis_round_trips_total',
      ]) {
        expect(await figure(name), name).to.equal(undefined)
      }
    })

    it('tells whether Redis is up, whether it is left alone, and whether messages arrive', async () => {
      const cache = make({ redis: redis.client() as never, maxStaleness: 600 })
      await cache.start()
      await cache.wrap('tools', undefined, () => 1)
      expect(await figure('redis_up')).to.equal(1)
      expect(await figure('redis_breaker_open')).to.equal(0)
      expect(await figure('subscribed')).to.equal(1)
      expect(await figure('epochs', { state: 'unknown' })).to.equal(0)
      expect(await figure('epochs', { state: 'known' })).to.equal(2)
      expect(await figure('redis_lookups_total', { outcome: 'miss' })).to.equal(1)
      const trips = (await figure('redis_round_trips_total')) as number
      const seconds = (await figure('redis_round_trip_seconds_total')) as number
      expect(trips).to.be.above(0)
      expect(seconds).to.be.within(0.000_01, trips)
      await redis.kill()
      await until(async () => (await figure('redis_up')) === 0 && (await figure('subscribed')) === 0)
      expect(await figure('redis_breaker_open')).to.equal(1)
      expect(await figure('redis_connected')).to.equal(0)
      await cache.invalidate('tools')
      expect(await figure('invalidations_pending')).to.equal(2)
      expect(await figure('epochs', { state: 'known' })).to.equal(0)
      await redis.restart()
      await until(async () => (await figure('redis_up')) === 1 && (await figure('invalidations_pending')) === 0, {
        deadlineMs: 9_000,
      })
    })

    it('counts invalidations by what raised them', async () => {
      const types = { things: 20, parts: { ttl: 20, dependsOn: ['things'] } }
      const [one, two] = [
        make({ redis: redis.client() as never, types }, { name: 'one' }),
        make({ redis: redis.client() as never, types }, { name: 'two' }),
      ]
      await Promise.all([one.start(), two.start()])
      const app = express()
      app.post('/things', one.invalidateOn({ types: ['things'] }), (_req, res) => void res.json({}))
      const server = await serve(app)
      await one.invalidate({ tag: 'mine' })
      await request(server, { method: 'POST', path: '/things' })
      const raised = (cache: string, origin: string) => figure('invalidations_total', { cache, origin })
      expect(await raised('one', 'api')).to.equal(1)
      expect(await raised('one', 'route')).to.equal(2)
      await until(async () => (await raised('two', 'worker')) === 3)
      expect(await figure('type_invalidations_total', { cache: 'two', type: 'parts' })).to.equal(1)
      expect(await raised('two', 'api')).to.equal(0)
      await redis.command('PUBLISH', 'mcpgw:cache:invalidate', 'registry:things')
      await until(async () => (await raised('one', 'foreign')) === 1 && (await raised('two', 'foreign')) === 1)
      expect(await raised('one', 'repair')).to.equal(0)
    })
  })
})
