/*
 * One computation for a whole fleet: whoever takes the lock in Redis runs the handler, all others wait for its answer.
 */
import { expect } from 'chai'
import { until } from '../helpers/until.ts'
import { type Fleet, type FleetWorker, startFleet } from './fleet.ts'

describe('single flight across workers', function () {
  this.timeout(30_000)
  let fleet: Fleet

  before(async () => {
    fleet = await startFleet(4)
  })

  after(() => fleet.stop())

  it('runs the handler once for 250 identical requests to each of 4 workers', async () => {
    // A machine that is busy with a thousand connections is not to be taken for a silent Redis.
    await fleet.reopen({ handlerMs: 200, cache: { redisTimeout: 5, lockTtl: 60 } })
    await fleet.workers[0]?.post('/items/k?version=7')
    const versions = await Promise.all(
      fleet.workers.flatMap((worker) => Array.from({ length: 250 }, () => worker.version('/items/k'))),
    )
    expect(new Set(versions)).to.deep.equal(new Set([7]))
    expect(await fleet.runs('/items/k')).to.equal(1)
  })

  it('lets the fleet compute anew after an invalidation, though an obsolete computation still holds its lock', async () => {
    await fleet.reopen({ cache: { lockTtl: 60 } })
    const [a, b] = fleet.workers as [FleetWorker, FleetWorker]
    await a.process.call('hold', '/items/k')
    const obsolete = a.version('/items/k')
    await until(async () => (await a.process.call('holding', '/items/k')) === 1)
    await b.post('/items/k?version=1')
    expect(await b.version('/items/k')).to.equal(1)
    await a.process.call('release', '/items/k')
    expect(await obsolete).to.equal(0)
    expect(await a.version('/items/k')).to.equal(1)
    expect(await fleet.runs('/items/k')).to.equal(2)
  })

  it('does not compute what another worker has computed between its look-up and its lock', async () => {
    await fleet.reopen({ cache: { redisTimeout: 5 } })
    const [a, b] = fleet.workers as [FleetWorker, FleetWorker]
    const { redis } = fleet
    await a.version('/items/k')
    const entry = await until(async () =>
      (await redis.client().keys('mcpgw:registry:items:*')).find((key) => !key.includes(':@')),
    )
    const lookUps = async (): Promise<number> => {
      const info = String(await redis.command('INFO', 'commandstats'))
      return Number(/cmdstat_pttl:calls=(\d+)/.exec(info)?.[1])
    }
    const before = await lookUps()
    await redis.client().rename(entry, 'kept')
    b.proxy.delay(500, { direction: 'to-server' })
    const late = b.version('/items/k')
    await until(async () => (await lookUps()) > before)
    await redis.client().rename('kept', entry)
    expect(await late).to.equal(0)
    expect(await b.runs('/items/k')).to.equal(0)
    b.proxy.delay(0)
  })

  it('leaves no lock behind that Redis set when nobody waited for it any more', async () => {
    await fleet.reopen({ cache: { lockTtl: 60, redisTimeout: 0.3 } })
    const [a] = fleet.workers as [FleetWorker]
    await a.version('/items/k')
    await a.post('/items/k?version=1')
    const locks = (): Promise<string[]> => fleet.redis.client().keys('*:@lock:*')
    // Reads are answered, and what writes waits for the end of the pause: it is carried out then.
    await fleet.redis.command('CLIENT', 'PAUSE', '1000', 'WRITE')
    expect(await a.version('/items/k')).to.equal(1)
    expect(await a.runs('/items/k')).to.equal(2)
    await fleet.redis.command('SET', 'after', 'the pause')
    await until(async () => (await locks()).length === 0)
  })

  // Last: it leaves the fleet with a worker less.
  it('answers everybody within lockTtl and the time of the handler when the worker that computes is killed', async () => {
    const [lockTtl, handlerMs] = [1.5, 200]
    await fleet.reopen({ handlerMs, cache: { lockTtl } })
    const answers = fleet.workers.map(async (worker) => {
      const startedAtMs = performance.now()
      const versions = await Promise.allSettled(Array.from({ length: 20 }, () => worker.version('/items/k')))
      return { tookMs: performance.now() - startedAtMs, versions }
    })
    const holder = await until(
      async () => {
        const counts = await Promise.all(fleet.workers.map((worker) => worker.runs('/items/k')))
        return fleet.workers[counts.indexOf(1)]
      },
      { everyMs: 1 },
    )
    await holder.process.kill()
    for (const [i, worker] of fleet.workers.entries()) {
      const answer = await answers[i]
      if (worker === holder || answer === undefined) continue
      for (const version of answer.versions) expect(version).to.deep.equal({ status: 'fulfilled', value: 0 })
      expect(answer.tookMs).to.be.within(200, lockTtl * 1_000 + handlerMs + 1_000)
    }
  })
})
