/*
 * The stream of events: what comes when, what a slow page costs, and when it ends.
 */
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { expect } from 'chai'
import compression from 'compression'
import type { Invalidation, Snapshot, Tick } from '../../lib/dashboard/index.ts'
import { Streams } from '../../lib/dashboard/streams.ts'
import { createFakeClock } from '../helpers/fake-clock.ts'
import { forEachExpress, listen } from '../helpers/http.ts'
import { until } from '../helpers/until.ts'
import { dashboards, errorOf, type Mounted, openStream } from './fixture.ts'

const second = async ({ clock }: Mounted): Promise<void> => await clock.advanceAsync(1000)

forEachExpress((_name, framework) => {
  describe('the stream of events', () => {
    const mount = dashboards()

    it('begins with a snapshot, has a tick each second, and each invalidation as it comes', async () => {
      const it = await mount({
        framework,
        after: (app, cache) => app.get('/tools', cache.middleware({ type: 'tools' }), (_req, res) => void res.json([])),
      })
      const stream = await it.stream()
      expect(stream.headers['content-type']).to.equal('text/event-stream; charset=utf-8')
      const snapshot = await stream.next<Snapshot>('snapshot')
      expect(snapshot).to.deep.include({ prefix: 'mcpgw:', history: [], invalidations: [] })
      expect(snapshot.token).to.have.lengthOf(43)
      await it.cache.wrap('tools', {}, () => [1])
      await second(it)
      expect((await stream.next<Tick>('tick')).sample).to.deep.include({ seconds: 1, hits: 0, misses: 1 })
      await it.cache.wrap('tools', {}, () => [1])
      await it.cache.invalidate('gateways')
      const told = await stream.next<Invalidation>('invalidation')
      expect(told).to.deep.include({
        id: 1,
        tag: 'registry:gateways',
        cause: 'api',
        own: true,
        worker: snapshot.worker,
      })
      await second(it)
      const tick = await stream.next<Tick>('tick')
      expect(tick.sample).to.deep.include({ hits: 1, misses: 0 })
      expect(tick.types.find(({ type }) => type === 'gateways')?.invalidations).to.equal(1)
      expect(tick.atMs).to.equal(it.clock.now())
    })

    it('flows through compression()', async () => {
      const it = await mount({ framework, before: (app) => app.use(compression({ threshold: 0 })) })
      const stream = await it.stream({ 'accept-encoding': 'gzip' })
      await stream.next('snapshot')
      await second(it)
      await stream.next('tick')
      expect(stream.headers).not.to.have.property('content-encoding')
      expect(stream.headers['cache-control']).to.equal('no-store, no-transform')
    })
  })
})

describe('the stream of events', () => {
  const mount = dashboards()

  it('is right after a reconnect: the snapshot has what was missed, and the browser is told to come back', async () => {
    const it = await mount()
    const first = await it.stream()
    await first.next('snapshot')
    expect(first.text()).to.match(/^retry: \d+\n\n/)
    first.close()
    await it.cache.wrap('tools', {}, () => [1])
    await second(it)
    await it.cache.invalidate({ tag: 'a' })
    await it.cache.invalidate({ tag: 'b' })
    const again = await it.stream()
    const snapshot = await again.next<Snapshot>('snapshot')
    expect(snapshot.history.map(({ misses }) => misses)).to.deep.equal([1])
    expect(snapshot.invalidations.map(({ tag }) => tag)).to.deep.equal(['b', 'a'])
  })

  it('tells so many invalidations a second, counts the others, and keeps the last for the next snapshot', async () => {
    const it = await mount()
    const stream = await it.stream()
    await stream.next('snapshot')
    for (let i = 0; i < 250; i++) await it.cache.invalidate({ tag: `tag:${i}` })
    await second(it)
    expect((await stream.next<Tick>('tick')).invalidationsLeftOut).to.equal(230)
    expect(stream.all<Invalidation>('invalidation').map(({ id }) => id)).to.deep.equal(
      Array.from({ length: 20 }, (_, i) => i + 1),
    )
    await it.cache.invalidate({ tag: 'later' })
    await second(it)
    expect((await stream.next<Tick>('tick')).invalidationsLeftOut).to.equal(0)
    expect(stream.all<Invalidation>('invalidation').at(-1)?.tag).to.equal('later')
    const { invalidations } = (await it.ask('/api/snapshot')).json<Snapshot>()
    expect(invalidations).to.have.lengthOf(200)
    expect(invalidations[0]?.tag).to.equal('later')
  })

  it('is there for so many pages, and says so to the next', async () => {
    const it = await mount({ dashboard: { maxStreams: 2 } })
    const [first] = [await it.stream(), await it.stream()]
    const refused = await it.ask('/api/events')
    expect([errorOf(refused), refused.headers['retry-after']]).to.deep.equal(['503 ERR_DASHBOARD_STREAMS', '10'])
    first.close()
    await until(async () => {
      const stream = await it.stream()
      return stream.status === 200
    })
  })

  it('is there for no more of them when they come all at once', async () => {
    const it = await mount({ dashboard: { maxStreams: 2 } })
    const streams = await Promise.all(Array.from({ length: 6 }, () => it.stream()))
    expect(streams.map(({ status }) => status).sort()).to.deep.equal([200, 200, 503, 503, 503, 503])
  })

  it('makes a tick once, however many pages there are, and asks for the fleet at most each other second', async () => {
    const it = await mount()
    const counts = { counts: 0, stats: 0, describe: 0, workers: 0 }
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) {
      const own = it.cache[name].bind(it.cache) as () => never
      it.cache[name] = () => {
        counts[name]++
        return own()
      }
    }
    const streams = [await it.stream(), await it.stream(), await it.stream()]
    for (const stream of streams) await stream.next('snapshot')
    Object.assign(counts, { counts: 0, stats: 0, describe: 0, workers: 0 })
    for (let i = 0; i < 10; i++) await second(it)
    for (const stream of streams) await until(() => stream.all('tick').length === 10)
    expect(counts).to.deep.equal({ counts: 10, stats: 10, describe: 10, workers: 5 })
  })

  it('costs nothing while nobody looks: no hit makes an event, no tick is made, the fleet is not asked', async () => {
    const it = await mount()
    const listened: Record<string, number> = { hit: 0, stale: 0 }
    const { on, off } = it.cache
    it.cache.on = function (name, listener) {
      if (name in listened) listened[name] = (listened[name] ?? 0) + 1
      return on.call(this, name, listener as never) as typeof this
    }
    it.cache.off = function (name, listener) {
      if (name in listened) listened[name] = (listened[name] ?? 0) - 1
      return off.call(this, name, listener as never) as typeof this
    }
    it.cache.workers = () => Promise.reject(new Error('asked'))
    it.cache.describe = () => {
      throw new Error('asked')
    }
    for (let i = 0; i < 5; i++) await second(it)
    expect(listened).to.deep.equal({ hit: 0, stale: 0 })
    Reflect.deleteProperty(it.cache, 'describe')
    const streams = [await it.stream(), await it.stream()]
    expect(listened).to.deep.equal({ hit: 1, stale: 1 })
    for (const stream of streams) stream.close()
    await until(() => listened.hit === 0 && listened.stale === 0)
  })

  it('keeps 900 samples, the last ones, whether anybody looks or not', async () => {
    const it = await mount()
    it.clock.advance(1_000_000)
    const { history, atMs } = (await it.ask('/api/snapshot')).json<Snapshot>()
    expect(history).to.have.lengthOf(900)
    expect(history.at(-1)?.atMs).to.equal(atMs)
    expect(history.every(({ seconds }) => seconds === 1)).to.equal(true)
  })

  it('ends when the cache is stopped, which leaves no timer and no listener', async () => {
    const it = await mount()
    const streams = [await it.stream(), await it.stream()]
    await it.cache.stop()
    for (const stream of streams) await stream.ended
    expect(it.clock.pending).to.equal(0)
  })

  it('begins anew with the first request after that', async () => {
    const it = await mount()
    await it.cache.stop()
    const stream = await it.stream()
    await stream.next('snapshot')
    await second(it)
    await stream.next('tick')
  })

  it('does not hold a server open that closes', async () => {
    const it = await mount()
    const stream = await it.stream()
    await stream.next('snapshot')
    const closed = new Promise<void>((resolve) => it.listening.server.close(() => resolve()))
    await second(it)
    await stream.ended
    await closed
  })

  it('does not hold it by a connection either that a browser would keep, and come again on', async () => {
    const it = await mount()
    const { server, port } = it.listening
    // No end of its own: what closes the connection is the answer.
    server.keepAliveTimeout = 0
    const agent = new Agent({ keepAlive: true })
    const stream = await openStream(port, {}, agent)
    await stream.next('snapshot')
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    await second(it)
    await stream.ended
    await closed
    agent.destroy()
  })

  it('ends after a quarter of an hour, so that whoever was signed out does not look on', async () => {
    const it = await mount()
    const stream = await it.stream()
    await stream.next('snapshot')
    const { monotonic } = it.clock
    it.clock.monotonic = () => monotonic() + 898_000
    await second(it)
    await stream.next('tick')
    await second(it)
    await stream.next('tick')
    await second(it)
    await stream.ended
  })
})

describe('a page that reads slowly', () => {
  /** A stream on a connection whose other end does not read. */
  async function unread(firstBytes: number): Promise<{
    streams: Streams
    clock: ReturnType<typeof createFakeClock>
    counts: number[]
    read: () => void
    received: () => string
    end: () => Promise<void>
  }> {
    const clock = createFakeClock()
    const counts: number[] = []
    const streams = new Streams(clock, (count) => counts.push(count))
    const listening = await listen((_req, res) => streams.open(res, `data: ${'x'.repeat(firstBytes)}\n\n`))
    const socket = connect(listening.port, '127.0.0.1')
    let text = ''
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => counts.length > 0)
    return {
      streams,
      clock,
      counts,
      read: () => {
        socket.on('data', (chunk) => {
          text += chunk
        })
      },
      received: () => text,
      end: async () => {
        socket.destroy()
        await listening.close()
      },
    }
  }

  /** More than the system keeps for a connection is what makes a reader slow. */
  async function untilStalled(streams: Streams): Promise<void> {
    const filler = `: ${'x'.repeat(64 * 1024)}\n\n`
    let sent = 0
    await until(
      () => {
        // Droppable, so as soon as nothing gets through this adds nothing.
        streams.send(filler, true)
        return ++sent > 200
      },
      { deadlineMs: 20_000, everyMs: 1 },
    )
  }

  it('misses ticks, gets what was kept for it, and is in step again', async () => {
    const { streams, read, received, end, counts } = await unread(1000)
    await untilStalled(streams)
    streams.send('event: tick\ndata: missed\n\n', true)
    streams.send('event: invalidation\ndata: kept\n\n', false)
    read()
    await until(() => received().includes('data: kept'))
    await until(() => {
      streams.send('event: tick\ndata: again\n\n', true)
      return received().includes('data: again')
    })
    expect(received()).not.to.contain('missed')
    expect(counts).to.deep.equal([1])
    await end()
  })

  it('is closed when it has not read for half a minute', async () => {
    const { streams, clock, counts, end } = await unread(1000)
    await untilStalled(streams)
    clock.advance(29_000)
    streams.turn()
    expect(streams.size).to.equal(1)
    clock.advance(2000)
    streams.turn()
    expect([streams.size, counts]).to.deep.equal([0, [1, 0]])
    await end()
  })

  it('is closed when more waits for it than it may', async () => {
    const { streams, end } = await unread(1000)
    await untilStalled(streams)
    const filler = `: ${'x'.repeat(64 * 1024)}\n\n`
    for (let i = 0; i < 9; i++) streams.send(filler, false)
    expect(streams.size).to.equal(0)
    await end()
  })

  it('hears of a quiet quarter of a minute that it is still connected', async () => {
    const { streams, clock, read, received, end } = await unread(10)
    read()
    clock.advance(14_000)
    streams.turn()
    clock.advance(1000)
    streams.turn()
    await until(() => received().includes(': still here\n\n'))
    expect(received().split(': still here').length).to.equal(2)
    await end()
  })
})
