/*
 * Caches that share a server's channels but not its keys: other databases, other key prefixes. Neither may disturb the other.
 */
import { expect } from 'chai'
import { type ClientOptions, type RedisServer, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { type OneWorker, startOne } from './one-worker.ts'

describe('two caches with one prefix on one server', () => {
  let redis: RedisServer
  let messages: string[]

  beforeEach(async () => {
    redis = await startRedis()
    messages = []
    const listener = redis.client()
    listener.on('message', (_channel, message) => messages.push(message))
    await listener.subscribe('mcpgw:cache:invalidate')
  })

  afterEach(() => redis.stop())

  for (const [name, first, second] of [
    ['on databases 0 and 1', { db: 0 }, { db: 1 }],
    ['with different keyPrefix', { keyPrefix: 'one:' }, { keyPrefix: 'two:' }],
  ] as [string, ClientOptions, ClientOptions][]) {
    it(`do not disturb each other ${name}: one write, one handler run, one pair of messages`, async () => {
      const ones: OneWorker[] = []
      try {
        // Two workers on the first, since a repair or an echo needs somebody to answer it.
        for (const options of [first, first, second]) {
          const one = await startOne(redis.client(options), { maxStaleness: 0.2 })
          await one.cache.start()
          ones.push(one)
        }
        const [a, b, other] = ones as [OneWorker, OneWorker, OneWorker]
        for (const one of [a, b, other]) await one.get('/items/k')
        expect([a.runs('items'), b.runs('items'), other.runs('items')]).to.deep.equal([1, 0, 1])
        for (let round = 1; round <= 5; round++) {
          await a.post('/items/k')
          await until(() => b.invalidated.length === round)
          for (const one of [a, b, other]) {
            await one.get('/items/k')
            expect((await one.get('/items/k')).headers['x-cache']).to.equal('HIT')
          }
        }
        expect([a.runs('items') + b.runs('items'), other.runs('items')]).to.deep.equal([6, 1])
        // What comes of the messages has come when both have verified their epochs anew.
        const askedAtMs = performance.now()
        await until(async () => {
          for (const one of ones) await one.get('/items/k')
          return performance.now() - askedAtMs > 500
        })
        expect(messages.length, messages.join('\n')).to.equal(10)
        expect(messages.filter((message) => message === 'registry:items').length).to.equal(5)
        expect([a.runs('items') + b.runs('items'), other.runs('items')]).to.deep.equal([6, 1])
        expect(other.invalidated).to.deep.equal([])
      } finally {
        for (const one of ones) await one.stop()
      }
    })
  }
})
