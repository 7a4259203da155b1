/*
 * A Cluster of three masters: an entry and its epochs live in different slots and on different nodes, and one of these dies.
 */
import { expect } from 'chai'
import type { Cluster } from 'ioredis'
import { type ClusterSetup, startCluster } from '../helpers/redis-topologies.ts'
import { until } from '../helpers/until.ts'
import { type OneWorker, startOne } from './one-worker.ts'

describe('a Redis Cluster', function () {
  this.timeout(60_000)
  let setup: ClusterSetup
  let client: Cluster
  let a: OneWorker
  let b: OneWorker
  const KEYS = Array.from({ length: 12 }, (_, i) => `k${i}`)

  before(async () => {
    setup = await startCluster()
    client = setup.client()
    const start = async (): Promise<OneWorker> => {
      const one = await startOne(setup.client(), {
        maxStaleness: 0.5,
        defaultTtl: 600,
        redisTimeout: 1,
        breaker: { probeEvery: 0.2 },
      })
      await one.cache.start()
      return one
    }
    a = await start()
    b = await start()
  })

  after(async () => {
    await a.stop()
    await b.stop()
    await setup.stop()
  })

  const path = (key: string): string => `/items/${key}?tag=item:${key}`

  it('shares entries whose epochs are on other nodes', async () => {
    for (const key of KEYS) await a.get(path(key))
    await until(async () => (await keysOf(setup)).filter((key) => !key.includes(':@')).length === KEYS.length)
    for (const key of KEYS) expect((await b.get(path(key))).headers['x-cache'], key).to.equal('HIT')
    expect([a.runs('items'), b.runs('items')]).to.deep.equal([KEYS.length, 0])
    const perNode = await Promise.all(setup.masters.map((node) => node.command('DBSIZE')))
    expect(
      perNode.every((count) => Number(count) > 0),
      perNode.join(),
    ).to.equal(true)
    expect(a.errors.concat(b.errors)).to.deep.equal([])
  })

  it('invalidates in every worker, whichever node holds the epoch', async () => {
    for (const key of KEYS) {
      expect(await a.cache.invalidate({ tag: `item:${key}` })).to.deep.equal({ shared: true })
      await until(() => b.invalidated.includes(`item:${key}`))
    }
    for (const key of KEYS) expect((await b.get(path(key))).headers['x-cache'], key).to.equal('MISS')
    expect(b.runs('items')).to.equal(KEYS.length)
  })

  it('takes an entry of another type for none', async () => {
    const key = (await keysOf(setup)).find((name) => !name.includes(':@')) as string
    await client.del(key)
    await client.lpush(key, 'a list')
    await a.cache.invalidate('items')
    for (const name of KEYS) expect((await a.get(path(name))).status).to.equal(200)
    await until(async () => (await client.type(key)) === 'string')
    expect(a.cache.stats().redisAvailable).to.equal(true)
  })

  it('answers everything while a node is dead, and makes up for it when the node is back', async () => {
    for (const key of KEYS) for (const one of [a, b]) await one.get(path(key))
    await setup.masters[1]?.kill()
    for (let round = 0; round < 2; round++) {
      for (const key of KEYS) {
        await a.cache.invalidate({ tag: `item:${key}` })
        const before = a.runs('items')
        expect((await a.get(path(key))).status).to.equal(200)
        expect(a.runs('items'), `a read of ${key} after its invalidation`).to.equal(before + 1)
        expect((await b.get(path(key))).status).to.equal(200)
      }
    }
    await setup.masters[1]?.restart()
    await until(
      () => [a, b].every(({ cache }) => cache.stats().redisAvailable && cache.stats().pendingInvalidations === 0),
      { deadlineMs: 20_000, describe: 'both workers to use the cluster' },
    )
    await until(() => [a, b].every(({ cache }) => cache.stats().subscribed), { deadlineMs: 20_000 })
    for (const key of KEYS) {
      await until(async () => (await b.get(path(key))).headers['x-cache'] === 'HIT', { describe: `hits of ${key}` })
      b.invalidated.length = 0
      expect(await a.cache.invalidate({ tag: `item:${key}` })).to.deep.equal({ shared: true })
      await until(() => b.invalidated.includes(`item:${key}`))
    }
  })
})

async function keysOf(setup: ClusterSetup): Promise<string[]> {
  const all = await Promise.all(setup.masters.map((node) => node.command('KEYS', 'mcpgw:registry:items:*')))
  return (all as string[][]).flat()
}
