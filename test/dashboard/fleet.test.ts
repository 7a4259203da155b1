/*
 * Dashboards of several workers on one real Redis: what one does is seen on the other, a token of one is good on the other, and a
 * Redis that goes away is shown, not suffered from.
 */
import { expect } from 'chai'
import {
  cacheDashboard,
  type Evicted,
  type Invalidated,
  type Invalidation,
  type Snapshot,
  type Tick,
} from '../../lib/dashboard/index.ts'
import { createRegistryCache, type RegistryCache } from '../../lib/index.ts'
import { channelOf, spaceOf } from '../../lib/tiers/keys.ts'
import { type Answer, express5, type Listening, listen, type RequestOptions, request } from '../helpers/http.ts'
import { type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { collecting } from '../http/fixture.ts'
import { openStream, pass, type Stream } from './fixture.ts'

interface Worker {
  readonly cache: RegistryCache
  readonly listening: Listening
  ask(path: string, options?: RequestOptions): Promise<Answer>
  snapshot(): Promise<Snapshot>
  tools(): Promise<string>
  stream(): Promise<Stream>
}

describe('the dashboards of two workers on one Redis', function () {
  this.timeout(60_000)
  const patient = { deadlineMs: 20_000 }
  let redis: RedisServer
  let workers: [Worker, Worker]
  const streams: Stream[] = []

  async function startWorker(): Promise<Worker> {
    const cache = createRegistryCache({ redis: redis.client(), logger: collecting([]) })
    await cache.start()
    const app = express5()
    app.use('/_cache', cacheDashboard(cache, { authorize: () => true }))
    app.get('/tools', cache.middleware({ type: 'tools', ttl: 600 }), (_req, res) => void res.json([]))
    const listening = await listen(app)
    const ask: Worker['ask'] = (path, options) => request(listening, { ...options, path: `/_cache${path}` })
    return {
      cache,
      listening,
      ask,
      snapshot: async () => (await ask('/api/snapshot')).json<Snapshot>(),
      tools: async () => String((await request(listening, { path: '/tools' })).headers['x-cache']),
      async stream() {
        const stream = await openStream(listening.port)
        streams.push(stream)
        return stream
      },
    }
  }

  beforeEach(async () => {
    redis = await startRedis()
    workers = [await startWorker(), await startWorker()]
    for (const { cache } of workers) await until(() => cache.stats().subscribed, patient)
  })

  afterEach(async () => {
    for (const stream of streams.splice(0)) stream.close()
    for (const { cache, listening } of workers) {
      await listening.close()
      await cache.stop()
    }
    await redis.stop()
  })

  it('show an invalidation by button on the page of the other worker, and its entry is gone there', async () => {
    const [one, two] = workers
    expect([await one.tools(), await two.tools(), await two.tools()]).to.deep.equal(['MISS', 'HIT', 'HIT'])
    const page = await two.stream()
    await page.next('snapshot')
    const headers = pass(await one.ask('/api/snapshot'))
    const done = (
      await one.ask('/api/invalidate', { method: 'POST', body: { type: 'gateways' }, headers })
    ).json<Invalidated>()
    expect(done).to.deep.include({ target: 'gateways', shared: true })
    const told = await page.next<Invalidation>('invalidation')
    expect([told.cause, told.own, told.worker]).to.deep.equal(['api', false, one.cache.describe().worker])
    await until(() => two.cache.stats().types.tools?.invalidations === 1, patient)
    expect(await two.tools()).to.equal('MISS')
  })

  it('take a token that the other one gave', async () => {
    const [one, two] = workers
    const headers = pass(await one.ask('/api/snapshot'))
    const answer = await two.ask('/api/invalidate', { method: 'POST', body: { type: 'tools' }, headers })
    expect(answer.status, answer.text).to.equal(200)
    expect(answer.headers['x-cache-worker']).to.equal(two.cache.describe().worker)
  })

  it('evict an entry from Redis and from the worker that was asked, not from the other', async () => {
    const [one, two] = workers
    expect([await one.tools(), await two.tools()]).to.deep.equal(['MISS', 'HIT'])
    const { entries } = (await one.ask('/api/entries')).json<{ entries: { key: string }[] }>()
    const headers = pass(await one.ask('/api/snapshot'))
    const body = { key: entries[0]?.key }
    const evicted = (await one.ask('/api/evict', { method: 'POST', body, headers })).json<Evicted>()
    expect(evicted).to.deep.equal({ ...body, memory: true, redis: true })
    expect([await two.tools(), await one.tools()]).to.deep.equal(['HIT', 'MISS'])
  })

  it('both show the whole fleet and its hit rate', async () => {
    const [one, two] = workers
    await one.tools()
    for (let i = 0; i < 3; i++) await two.tools()
    // The other's figures come with its next heartbeat.
    for (const worker of workers) {
      const fleet = await until(async () => {
        const seen = (await worker.snapshot()).fleet
        return seen?.total === 2 && seen.hits + seen.misses === 4 ? seen : undefined
      }, patient)
      expect([fleet.known, fleet.hits, fleet.misses, fleet.hitRate]).to.deep.equal([true, 3, 1, 0.75])
      const own = fleet.workers.filter((one) => one.own).map(({ id }) => id)
      expect(own).to.deep.equal([worker.cache.describe().worker])
    }
  })

  it('go on without Redis, show that it is down and who was there, and that it is back', async () => {
    const [one] = workers
    await one.tools()
    const page = await one.stream()
    const first = await page.next<Snapshot>('snapshot')
    expect(first.redis).to.deep.include({ up: true, breakerOpen: false, subscribed: true })
    const lately = (): Tick | undefined => page.all<Tick>('tick').at(-1)
    await until(() => lately()?.fleet?.total === 2, patient)
    await redis.kill()
    await until(() => lately()?.redis?.up === false && lately()?.fleet?.known === false, patient)
    expect(lately()?.fleet?.total).to.equal(2)
    // What the page asks beside the stream is answered too, and soon.
    const headers = pass(await one.ask('/api/snapshot'))
    const done = await one.ask('/api/invalidate', { method: 'POST', body: { type: 'tools' }, headers })
    expect(done.json<Invalidated>()).to.deep.include({ target: 'tools', shared: false })
    await until(() => (lately()?.stats.pendingInvalidations ?? 0) > 0, patient)
    expect((await one.ask('/api/entries')).status).to.equal(200)
    await redis.restart()
    await until(() => lately()?.redis?.up === true && lately()?.stats.pendingInvalidations === 0, patient)
    await until(() => lately()?.fleet?.known === true, patient)
    const again = page.all('snapshot').length
    expect(again, 'the stream was never interrupted').to.equal(1)
  })

  it('answer a first page while Redis is frozen', async () => {
    const [one] = workers
    redis.freeze()
    const startedAtMs = performance.now()
    const { fleet } = await one.snapshot()
    expect(performance.now() - startedAtMs).to.be.below(5000)
    expect(fleet?.known).to.equal(false)
    redis.thaw()
  })

  it('open their pages whatever somebody else on that Redis says in their name', async () => {
    const [one] = workers
    const publisher = redis.client()
    const page = await one.stream()
    await page.next('snapshot')
    const long = '\u0001'.repeat(100_000)
    for (let i = 0; i < 250; i++) {
      const message = `epoch ${i + 1} ${spaceOf(publisher)} ${'w'.repeat(100_000)} ${long} ${i}:${long}`
      await publisher.publish(channelOf('mcpgw:'), message)
    }
    await until(async () => (await one.snapshot()).invalidations[0]?.tag.startsWith('249:') === true, patient)
    const { body } = await one.ask('/api/snapshot')
    expect(body.byteLength).to.be.below(400 * 1024)
    expect((await (await one.stream()).next<Snapshot>('snapshot')).worker).to.equal((await one.snapshot()).worker)
    await page.next('tick')
  })
})
