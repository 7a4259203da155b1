/*
 * What the figures mean: samples, durations, time saved; and how much a tick may weigh.
 */
import { expect } from 'chai'
import { RecentDurations } from '../../lib/dashboard/histogram.ts'
import type { EntryPage, Snapshot, Tick } from '../../lib/dashboard/index.ts'
import type { FleetView, FleetWorker } from '../../lib/index.ts'
import { createFakeClock } from '../helpers/fake-clock.ts'
import { request } from '../helpers/http.ts'
import { dashboards, type Mounted, type MountOptions } from './fixture.ts'

describe('durations', () => {
  it('give percentiles to within five per cent, from a microsecond to minutes', () => {
    const clock = createFakeClock()
    for (const scale of [0.001, 0.05, 1, 37, 5000, 300_000]) {
      const recent = new RecentDurations(clock)
      for (let i = 1; i <= 1000; i++) recent.add((i / 1000) * scale)
      const { count, p50Ms = 0, p99Ms = 0 } = recent.read()
      expect(count).to.equal(1000)
      if (scale > 0.001) expect(p50Ms / (scale / 2)).to.be.within(0.95, 1.05)
      expect(p99Ms / (scale * 0.99)).to.be.within(0.95, 1.1)
    }
  })

  it('say nothing where nothing was measured, and bear 0 and more than they can hold', () => {
    const recent = new RecentDurations(createFakeClock())
    expect(recent.read()).to.deep.equal({ count: 0 })
    for (const ms of [0, 1e12]) recent.add(ms)
    expect(recent.read().count).to.equal(2)
  })

  it('forget what is older than five minutes, a little at a time', () => {
    const clock = createFakeClock()
    const recent = new RecentDurations(clock)
    recent.add(10)
    clock.advance(150_000)
    recent.add(10)
    clock.advance(149_999)
    expect(recent.read().count).to.equal(2)
    clock.advance(1)
    expect(recent.read().count).to.equal(1)
    clock.advance(10_000_000)
    expect(recent.read().count).to.equal(0)
    recent.add(10)
    expect(recent.read().count).to.equal(1)
  })
})

describe('the figures of the dashboard', () => {
  const mount = dashboards()
  const snapshot = async ({ ask }: Mounted): Promise<Snapshot> => (await ask('/api/snapshot')).json<Snapshot>()

  /** A route whose handler takes 40 ms of the fake clock. */
  async function slow(options: MountOptions = {}): Promise<Mounted & { get(path: string): Promise<void> }> {
    const it = await mount({
      ...options,
      after: (app, cache) =>
        app.get('/tools', cache.middleware({ type: 'tools' }), (_req, res) => {
          it.clock.advance(40)
          res.json([])
        }),
    })
    return { ...it, get: async (path) => void (await request(it.listening, { path })) }
  }

  it('count each second apart, and go on after resetStats()', async () => {
    const it = await slow()
    await it.get('/tools')
    await it.get('/tools')
    await it.get('/tools')
    await it.clock.advanceAsync(960)
    it.cache.resetStats()
    await it.get('/tools')
    await it.clock.advanceAsync(1000)
    const { history } = await snapshot(it)
    expect(history.map(({ hits, misses }) => [hits, misses])).to.deep.equal([
      [2, 1],
      [1, 0],
    ])
  })

  it('say how long handlers took at all times, and hits while somebody looks', async () => {
    const it = await slow()
    await it.get('/tools?a=1')
    await it.get('/tools?a=1')
    const before = (await snapshot(it)).durations
    expect([before.hit.count, before.handler.count]).to.deep.equal([0, 1])
    expect(before.handler.p50Ms).to.be.within(38, 42)
    await it.stream()
    await it.get('/tools?a=1')
    expect((await snapshot(it)).durations.hit.count).to.equal(1)
  })

  it('give as time saved what hits would have taken their handlers, type by type', async () => {
    const it = await slow()
    it.cache.resetStats()
    await it.get('/tools')
    for (let i = 0; i < 10; i++) await it.get('/tools')
    await it.cache.wrap('quick', {}, () => 1)
    for (let i = 0; i < 1000; i++) await it.cache.wrap('quick', {}, () => 1)
    expect((await snapshot(it)).savedMs).to.equal(0)
    await it.clock.advanceAsync(1000)
    expect((await snapshot(it)).savedMs).to.equal(400)
  })

  it('stay right when a process was suspended for a while', async () => {
    const it = await slow()
    await it.clock.advanceAsync(1000)
    // One timer fires late, for all that it missed.
    const { monotonic } = it.clock
    it.clock.monotonic = () => monotonic() + 60_000
    await it.clock.advanceAsync(1000)
    await it.clock.advanceAsync(1000)
    const { history } = await snapshot(it)
    expect(history.map(({ seconds }) => Math.round(seconds))).to.deep.equal([1, 61, 1])
  })

  it('have the TTL, the entries and the neighbours of each type', async () => {
    const it = await slow()
    await it.get('/tools')
    const { types, typesTotal } = await snapshot(it)
    const tools = types.find(({ type }) => type === 'tools')
    expect(types[0]?.type).to.equal('tools')
    expect(typesTotal).to.equal(7)
    expect(tools).to.deep.include({ ttlSeconds: 20, entries: 1, misses: 1, dependsOn: ['gateways', 'agents'] })
    expect(tools?.dependents).to.deep.equal(['servers'])
  })
})

describe('a large cache', () => {
  const mount = dashboards()
  const worker = (i: number): FleetWorker => ({
    id: i.toString(16).padStart(12, '0'),
    own: i === 0,
    host: `app-deployment-7f9c6d5b4-${i}.eu-central-1.compute.internal`,
    pid: 100_000 + i,
    version: '10.20.30',
    node: '24.11.1',
    startedAtMs: 1_767_225_600_000 + i,
    beatMsAgo: 4999.123456,
    subscribed: true,
    hits: 1_234_567_890 + i,
    misses: 123_456_789,
    stale: 12_345_678,
    bypasses: 12_345_678,
    redisHits: 12_345_678,
    redisMisses: 12_345_678,
    stores: 12_345_678,
    invalidations: 1_234_567,
    evictions: 1_234_567,
    errors: 1_234_567,
    entries: 10_000,
    bytes: 67_108_864,
  })

  /** What `stats()` and the like of a cache with Redis say, without one: the sizes are what counts. */
  function pretendRedis(it: Mounted, workers: readonly FleetWorker[]): void {
    const { stats } = it.cache
    const redis = { connected: true, breakerOpen: false, roundTrips: 1, roundTripMs: 1 }
    it.cache.stats = () => ({ ...stats.call(it.cache), redis })
    it.cache.workers = async (): Promise<FleetView> => ({ known: true, workers })
  }

  it('of 10,000 entries and 50 workers has ticks under 50 KB, with every worker in them', async function () {
    this.timeout(30_000)
    const it = await mount({
      cache: { types: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`type-${i}`, 3600])) },
    })
    pretendRedis(
      it,
      Array.from({ length: 50 }, (_, i) => worker(i)),
    )
    for (let i = 0; i < 10_000; i++)
      await it.cache.set(`type-${i % 50}`, { i }, { page: i, pad: 'x'.repeat(50) }, { ttl: 3600 })
    const stream = await it.stream()
    await stream.next('snapshot')
    await it.clock.advanceAsync(1000)
    const tick = await stream.next<Tick>('tick')
    const [types, workers] = [tick.types.length, tick.fleet?.workers.length]
    expect([types, tick.typesTotal, workers, tick.fleet?.total]).to.deep.equal([57, 57, 50, 50])
    expect(tick.stats.entries).to.equal(10_000)
    expect(JSON.stringify(tick).length).to.be.below(50 * 1024)

    const startedAtMs = performance.now()
    const answer = await it.ask('/api/entries?search=type-7&limit=500')
    const { matched, entries, complete } = answer.json<EntryPage>()
    expect([matched, entries.length, complete]).to.deep.equal([200, 200, true])
    // Some 10 ms on an idle machine.
    expect(performance.now() - startedAtMs).to.be.below(2000)
    expect((await it.ask('/api/entries?limit=500')).body.byteLength).to.be.below(256 * 1024)
  })

  it('keeps ticks under 50 KB whatever names, tags and numbers it has, and says what it left out', async function () {
    this.timeout(30_000)
    const long = (i: number): string => `${i}-`.padEnd(64, 'x')
    const names = Array.from({ length: 300 }, (_, i) => long(i))
    const types = Object.fromEntries(names.map((name) => [name, { ttl: 60, dependsOn: names.slice(0, 20) }]))
    const it = await mount({ cache: { types } })
    pretendRedis(
      it,
      Array.from({ length: 1000 }, (_, i) => ({ ...worker(i), host: 'h'.repeat(253) })),
    )
    for (let i = 0; i < 100; i++) await it.cache.invalidate({ tag: `${i}:`.padEnd(512, 'é'.repeat(254)).slice(0, 250) })
    const stream = await it.stream()
    const first = await stream.next<Snapshot>('snapshot')
    await it.clock.advanceAsync(1000)
    const tick = await stream.next<Tick>('tick')
    expect(Buffer.byteLength(JSON.stringify(tick))).to.be.below(50 * 1024)
    expect([tick.typesTotal, tick.fleet?.total]).to.deep.equal([307, 1000])
    expect(tick.types.length).to.be.within(1, 300)
    expect(tick.fleet?.workers.length).to.be.within(10, 999)
    expect(tick.epochs.total).to.be.above(tick.epochs.shown.length)
    expect(Buffer.byteLength(JSON.stringify(first))).to.be.below(400 * 1024)
  })
})
