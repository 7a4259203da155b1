/*
 * What the package promises of coherence, with real processes and a real Redis. One `describe` per promise, by its name.
 */
import { expect } from 'chai'
import { until } from '../helpers/until.ts'
import { type Fleet, type FleetWorker, isSubscriber, startFleet } from './fleet.ts'

/** So long that nothing in a test ends by itself. */
const NEVER = 600

describe('the promises of coherence', function () {
  this.timeout(30_000)
  let fleet: Fleet
  let a: FleetWorker
  let b: FleetWorker

  /** One that can be made to know nothing. */
  let c: FleetWorker

  async function start(cache: { maxStaleness: number; redisTimeout?: number }, subscribe = true): Promise<void> {
    await fleet.reopen({ subscribe, cache: { defaultTtl: NEVER, redisTimeout: 0.4, ...cache } })
  }

  before(async () => {
    fleet = await startFleet(3)
    ;[a, b, c] = fleet.workers as [FleetWorker, FleetWorker, FleetWorker]
  })

  after(() => fleet.stop())

  afterEach(() => fleet.redis.thaw())

  describe('1. own writes', () => {
    it('shows a worker its own write at once, with Redis and while Redis is frozen', async () => {
      await start({ maxStaleness: NEVER })
      for (let version = 1; version <= 20; version++) {
        if (version === 11) fleet.redis.freeze()
        const path = version % 2 === 0 ? 'types' : 'items'
        await a.post(`/${path}/k?version=${version}`)
        expect(await a.version('/items/k')).to.equal(version)
        // Until the third failure Redis is asked, and what it does not confirm is not kept.
        if (version > 10 && version < 15) continue
        expect((await a.get('/items/k')).headers['x-cache'], `read again after ${version}`).to.equal('HIT')
      }
    })
  })

  describe("2. others' writes", () => {
    it('shows a write to the other worker as soon as the message is there', async () => {
      await start({ maxStaleness: NEVER })
      for (let version = 1; version <= 5; version++) {
        await a.post(`/items/k?version=${version}`)
        await until(async () => (await b.version('/items/k')) === version, { deadlineMs: 3_000, everyMs: 1 })
      }
    })

    it('shows a write whose message was lost after maxStaleness at the latest', async () => {
      await start({ maxStaleness: 0.7 })
      // The subscriber's own check of its connection is slower than this.
      for (let version = 1; version <= 2; version++) {
        await a.post(`/items/k?version=${version}`)
        await until(async () => (await b.version('/items/k')) === version, { deadlineMs: 3_000 })
        if (version === 1) b.proxy.swallow({ direction: 'to-client', filter: isSubscriber })
      }
      await a.post('/items/k?version=3')
      const writtenAtMs = performance.now()
      // Nobody asks meanwhile: a read past half of the time would have the epochs verified for the next one.
      await until(() => performance.now() - writtenAtMs > 700)
      expect(await b.version('/items/k')).to.equal(3)
    })
  })

  describe('3. strong mode', () => {
    it('shows every acknowledged write to a strong read of another worker that hears no message', async () => {
      await start({ maxStaleness: NEVER })
      b.proxy.swallow({ direction: 'to-client', filter: isSubscriber })
      for (let version = 1; version <= 20; version++) {
        const told = await a.post(`/told/k?version=${version}`)
        expect(told.json()).to.deep.equal({ shared: true })
        expect(await b.version('/strong/k')).to.equal(version)
        expect((await b.get('/strong/k')).headers['x-cache']).to.equal('HIT')
      }
    })

    it('runs the handler for a strong read that Redis does not answer', async () => {
      await start({ maxStaleness: NEVER, redisTimeout: 0.1 })
      await b.post('/items/k?version=1')
      expect(await b.version('/strong/k')).to.equal(1)
      fleet.redis.freeze()
      await a.post('/items/k?version=2')
      for (let i = 0; i < 5; i++) expect(await b.version('/strong/k')).to.equal(2)
      expect(await b.runs('/strong/k')).to.equal(6)
    })
  })

  describe('4. late fills', () => {
    it('does not let a handler that read before a write plant its answer in any tier', async () => {
      await start({ maxStaleness: NEVER })
      await a.post('/items/k?version=1')
      await b.process.call('hold', '/items/k')
      const late = b.version('/items/k')
      await until(async () => (await b.process.call('holding', '/items/k')) === 1)
      await a.post('/items/k?version=2')
      await until(async () => (await b.stats()).invalidations > 1, { describe: 'the message' })
      await b.process.call('release', '/items/k')
      expect(await late).to.equal(1)
      expect(await b.version('/items/k')).to.equal(2)
      expect(await a.version('/items/k')).to.equal(2)
      expect(await b.runs('/items/k')).to.equal(2)
    })

    it('does so when the worker of the handler never heard of the write', async () => {
      await start({ maxStaleness: 0.5 })
      await a.post('/items/k?version=1')
      b.proxy.swallow({ direction: 'to-client', filter: isSubscriber })
      await b.process.call('hold', '/items/k')
      const late = b.version('/items/k')
      await until(async () => (await b.process.call('holding', '/items/k')) === 1)
      await a.post('/items/k?version=2')
      await b.process.call('release', '/items/k')
      expect(await late).to.equal(1)
      // It is in Redis now, under an epoch that is gone.
      expect(await a.version('/items/k')).to.equal(2)
      await until(async () => (await b.version('/items/k')) === 2)
    })
  })

  describe('5. outage', () => {
    it('answers every request while Redis is frozen, dead or refuses writes', async () => {
      await start({ maxStaleness: 0.2, redisTimeout: 0.1 })
      const { redis } = fleet
      let version = 0
      const everything = async (): Promise<void> => {
        for (let i = 0; i < 5; i++) {
          expect((await a.post(`/items/k?version=${++version}`)).status).to.equal(200)
          for (const path of ['/items/k', '/strong/k']) expect(await a.version(path)).to.equal(version)
          for (const path of ['/items/k', '/strong/k', `/items/new${version}`, '/calm/k']) await b.version(path)
        }
      }
      await everything()
      redis.freeze()
      await everything()
      expect((await a.stats()).redisAvailable, 'whether Redis is left alone').to.equal(false)
      redis.thaw()
      await fleet.settled()
      // Without replicas to write to, a master refuses every write.
      await redis.config({ 'min-replicas-to-write': '1' })
      await everything()
      await redis.config({ 'min-replicas-to-write': '0' })
      await redis.kill()
      await everything()
      await redis.restart()
      await fleet.settled()
      await until(async () => (await b.version('/items/k')) === version)
    })

    it('keeps what was invalidated meanwhile, and tells Redis before it believes Redis again', async () => {
      await start({ maxStaleness: NEVER })
      await a.post('/items/k?version=1')
      expect(await b.version('/items/k')).to.equal(1)
      expect(await a.version('/items/k')).to.equal(1)
      await a.proxy.cut()
      await until(async () => !(await a.stats()).redisAvailable)
      expect((await a.post('/told/k?version=2')).json()).to.deep.equal({ shared: false })
      expect(await a.version('/items/k')).to.equal(2)
      expect(await b.version('/items/k')).to.equal(1)
      await a.proxy.heal()
      // L2 holds version 1 under stamps that are right until the raise is told.
      await until(async () => {
        expect(await a.version('/items/k')).to.equal(2)
        return (await a.stats()).redisAvailable
      })
      await until(async () => (await b.version('/items/k')) === 2, { deadlineMs: 3_000 })
      expect((await a.stats()).pendingInvalidations).to.equal(0)
    })
  })

  describe('6. loss is safe', () => {
    it('takes a lost epoch for a miss, also in a worker that never knew it', async () => {
      await start({ maxStaleness: 0.3 })
      // The entry of version 1 stays in Redis, filled when the tag's epoch had just been made.
      await a.process.call('hold', '/items/k')
      const first = a.version('/items/k')
      await until(async () => (await a.process.call('holding', '/items/k')) === 1)
      await a.process.call('release', '/items/k')
      expect(await first).to.equal(0)
      await until(async () => (await entries(fleet)).length === 1)
      const [entry] = await entries(fleet)
      const envelope = await fleet.redis.client().getBuffer(entry as string)
      await b.post('/items/k?version=1')
      for (const tag of ['item:k', 'registry:items', 'registry:'])
        await fleet.redis.command('DEL', `mcpgw:${tag}:@epoch`)
      await fleet.redis.client().set(entry as string, envelope as Buffer, 'PX', 60_000)
      await c.open()
      expect(await c.version('/items/k')).to.equal(1)
      await until(async () => (await a.version('/items/k')) === 1)
      expect(await b.version('/items/k')).to.equal(1)
    })

    it('repairs a raise that Redis has lost, from any worker that knows of it', async () => {
      await start({ maxStaleness: 0.3 })
      expect(await a.version('/items/k')).to.equal(0)
      const client = fleet.redis.client()
      const key = 'mcpgw:item:k:@epoch'
      const old = await client.get(key)
      await until(async () => (await entries(fleet)).length === 1)
      const [entry] = await entries(fleet)
      const envelope = await client.getBuffer(entry as string)
      await a.post('/items/k?version=1')
      const raised = await client.get(key)
      expect(await b.version('/items/k')).to.equal(1)
      // As after a failover to a replica that was behind: the old epoch, and the old entry that it makes valid.
      await client.set(key, old as string)
      await client.set(entry as string, envelope as Buffer, 'PX', 60_000)
      await until(async () => {
        expect(await b.version('/items/k')).to.equal(1)
        return Number(await client.get(key)) > Number(raised)
      })
      await c.open()
      expect(await c.version('/items/k')).to.equal(1)
      expect(await a.version('/items/k')).to.equal(1)
    })
  })

  describe('7. no subscriber, no problem', () => {
    it('never serves replaced data in a worker whose subscriber was not started', async () => {
      await start({ maxStaleness: NEVER }, false)
      for (let version = 1; version <= 20; version++) {
        await a.post(`/items/k?version=${version}`)
        expect(await b.version('/items/k')).to.equal(version)
        expect((await b.get('/items/k')).headers['x-cache']).to.equal('HIT')
      }
      expect(await b.runs('/items/k')).to.equal(20)
    })

    it('never serves replaced data while the subscriber is reconnecting', async () => {
      await start({ maxStaleness: NEVER })
      await a.post('/items/k?version=1')
      expect(await b.version('/items/k')).to.equal(1)
      // Whoever subscribes from now on is never answered.
      b.proxy.swallow({ filter: isSubscriber })
      for (const connection of b.proxy.connections().filter(isSubscriber)) connection.destroy()
      await until(async () => !(await b.stats()).subscribed)
      for (let version = 2; version <= 20; version++) {
        await a.post(`/items/k?version=${version}`)
        expect(await b.version('/items/k')).to.equal(version)
      }
      expect((await b.get('/items/k')).headers['x-cache']).to.equal('HIT')
      expect((await b.stats()).subscribed).to.equal(false)
      // Nor does it stay deaf when that is over.
      await b.proxy.heal()
      await until(async () => (await b.stats()).subscribed, { deadlineMs: 12_000 })
    })
  })
})

async function entries(fleet: Fleet): Promise<string[]> {
  const keys = (await fleet.redis.command('KEYS', 'mcpgw:registry:items:*')) as string[]
  return keys.filter((key) => !key.includes(':@'))
}
