/*
 * What requests pay for a Redis that does not answer, in multiples of `redisTimeout` and against a cache without Redis that is
 * measured at the same time.
 */
import { expect } from 'chai'
import { until } from '../helpers/until.ts'
import { type Fleet, type FleetWorker, startFleet } from '../workers/fleet.ts'

const TIMEOUT_MS = 400
/** What a busy machine may add to it. */
const SLACK_MS = 300

describe('latency in an outage', function () {
  this.timeout(30_000)
  let fleet: Fleet
  let worker: FleetWorker
  let alone: FleetWorker

  before(async () => {
    fleet = await startFleet(2)
    ;[worker, alone] = fleet.workers as [FleetWorker, FleetWorker]
  })

  beforeEach(async () => {
    await fleet.reopen({ cache: { redisTimeout: TIMEOUT_MS / 1_000, maxStaleness: 0, defaultTtl: 600 } })
    // Epochs are there and the connection is warm.
    for (const path of ['/items/k', '/calm/k']) await worker.version(path)
  })

  afterEach(async () => {
    if (fleet.redis.isRunning) fleet.redis.thaw()
  })

  after(() => fleet.stop())

  async function timed(to: FleetWorker, path: string): Promise<number> {
    const startedAtMs = performance.now()
    await to.version(path)
    return performance.now() - startedAtMs
  }

  it('lets at most 3 requests in a row pay redisTimeout, once each, and later ones nothing', async () => {
    fleet.redis.freeze()
    const tookMs: number[] = []
    for (let i = 0; i < 30; i++) tookMs.push(await timed(worker, `/items/cold${i}`))
    const slow = tookMs.filter((ms) => ms > TIMEOUT_MS / 2)
    expect(slow.length).to.be.within(1, 3)
    expect(Math.max(...tookMs)).to.be.below(TIMEOUT_MS + SLACK_MS)
    expect(tookMs.slice(3).every((ms) => ms < TIMEOUT_MS / 2)).to.equal(true)
    expect((await worker.stats()).redisAvailable).to.equal(false)
  })

  it('answers as fast as a cache without Redis once Redis is left alone', async () => {
    await fleet.reopen({ cache: { redisTimeout: TIMEOUT_MS / 1_000, maxStaleness: 600, defaultTtl: 600 } })
    await alone.open({ memoryOnly: true })
    for (const each of [worker, alone]) await each.version('/items/k')
    fleet.redis.freeze()
    for (let i = 0; i < 3; i++) await worker.version(`/items/cold${i}`)
    expect((await worker.stats()).redisAvailable).to.equal(false)
    for (const path of ['/items/k', '/items/missing']) {
      const tookMs: [number[], number[]] = [[], []]
      for (let i = 0; i < 100; i++) {
        const own = path === '/items/k' ? path : `${path}${i}`
        tookMs[0].push(await timed(worker, own))
        tookMs[1].push(await timed(alone, own))
      }
      expect(median(tookMs[0]) - median(tookMs[1]), path).to.be.below(2)
    }
    expect((await worker.stats()).redisAvailable).to.equal(false)
  })

  it('lets concurrent requests pay once', async () => {
    fleet.redis.freeze()
    const tookMs = await Promise.all(
      Array.from({ length: 60 }, (_, i) => timed(worker, i % 2 === 0 ? '/strong/k' : `/items/cold${i}`)),
    )
    expect(Math.max(...tookMs)).to.be.below(TIMEOUT_MS + SLACK_MS)
    expect((await worker.stats()).redisAvailable).to.equal(false)
    const later = await Promise.all(Array.from({ length: 20 }, (_, i) => timed(worker, `/items/later${i}`)))
    expect(Math.max(...later)).to.be.below(TIMEOUT_MS / 2)
  })

  it('lets mutations pay once, and nothing later', async () => {
    fleet.redis.freeze()
    const tookMs: number[] = []
    for (let i = 0; i < 10; i++) {
      const startedAtMs = performance.now()
      expect((await worker.post(`/items/k?version=${i}`)).status).to.equal(200)
      tookMs.push(performance.now() - startedAtMs)
    }
    expect(Math.max(...tookMs)).to.be.below(TIMEOUT_MS + SLACK_MS)
    expect(Math.max(...tookMs.slice(3))).to.be.below(TIMEOUT_MS / 2)
  })

  it('counts all the round trips of a request on a slow link together', async () => {
    await fleet.reopen({ cache: { redisTimeout: 1, defaultTtl: 600 } })
    await worker.version('/calm/k')
    // A look-up fits into the deadline, a look-up and a lock do not.
    worker.proxy.delay(700, { direction: 'to-client' })
    expect(await timed(worker, '/calm/cold')).to.be.within(650, 1_300)
    worker.proxy.delay(0)
  })

  it('uses Redis again within 2 seconds of its return, frozen or killed', async () => {
    const { redis } = fleet
    for (const [harm, end] of [
      [() => redis.freeze(), () => redis.thaw()],
      [() => redis.kill(), () => redis.restart()],
    ] as const) {
      await harm()
      await until(
        async () => {
          await worker.version('/items/k')
          return !(await worker.stats()).redisAvailable
        },
        { describe: 'the breaker to open' },
      )
      await end()
      await until(async () => (await worker.stats()).redisAvailable, { deadlineMs: 2_000 })
      await worker.version('/items/k')
      expect((await worker.get('/items/k')).headers['x-cache']).to.equal('HIT')
    }
  })
})

function median(values: readonly number[]): number {
  return [...values].sort((x, y) => x - y)[Math.floor(values.length / 2)] as number
}
