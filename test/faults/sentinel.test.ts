/*
 * A failover by Sentinels: invalidations before, during and after it, and one that the new master never heard of.
 */
import { expect } from 'chai'
import type { Redis } from 'ioredis'
import { type SentinelSetup, startSentinel } from '../helpers/redis-topologies.ts'
import { until } from '../helpers/until.ts'
import { type OneWorker, startOne } from './one-worker.ts'

describe('a failover by Sentinels', function () {
  this.timeout(60_000)
  let setup: SentinelSetup
  let a: OneWorker
  let b: OneWorker
  const data = new Map<string, number>()

  before(async () => {
    setup = await startSentinel()
    const start = async (): Promise<OneWorker> => {
      const one = await startOne(setup.client(), {
        maxStaleness: 0.5,
        defaultTtl: 600,
        breaker: { probeEvery: 0.2 },
        redisTimeout: 1,
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

  async function write(one: OneWorker, key: string): Promise<number> {
    const version = (data.get(key) ?? 0) + 1
    data.set(key, version)
    await one.cache.invalidate({ tag: `item:${key}` })
    return version
  }

  async function read(one: OneWorker, key: string): Promise<number> {
    const value = await one.cache.wrap('items', { key }, () => ({ version: data.get(key) ?? 0 }), {
      tags: [`item:${key}`],
    })
    return value.version
  }

  async function seenByBoth(key: string): Promise<void> {
    await until(async () => (await read(a, key)) === data.get(key) && (await read(b, key)) === data.get(key), {
      deadlineMs: 10_000,
      describe: `${key} in both workers`,
    })
  }

  it('shows every write to its own worker at once, to the other when Redis is back, and repairs what was lost', async () => {
    for (const key of ['before', 'lost']) {
      await write(a, key)
      await seenByBoth(key)
    }
    const server = setup.master
    const master: Redis = server.client()
    const replica: Redis = setup.replica.client()
    const epoch = 'mcpgw:item:lost:@epoch'
    await until(async () => (await replica.get(epoch)) === (await master.get(epoch)))
    // The replica may not follow any more: what is written from now on is lost with the master.
    await setup.replica.config({ masteruser: 'nobody', masterauth: 'wrong' })
    await server.command('CLIENT', 'KILL', 'TYPE', 'replica')
    await write(a, 'lost')
    const raised = Number(await master.get(epoch))
    expect(Number(await replica.get(epoch))).to.be.below(raised)
    expect(await read(a, 'lost')).to.equal(2)
    await server.kill()
    for (let i = 0; i < 5; i++) {
      await write(a, 'during')
      expect(await read(a, 'during')).to.equal(data.get('during'))
      expect(await read(a, 'lost')).to.equal(2)
    }
    await until(async () => (await setup.masterPort()) === setup.replica.port, { deadlineMs: 30_000, everyMs: 50 })
    await until(
      async () => {
        expect(await read(a, 'lost')).to.equal(2)
        return [a, b].every(({ cache }) => cache.stats().redisAvailable && cache.stats().subscribed)
      },
      { deadlineMs: 20_000, describe: 'both workers to follow the new master' },
    )
    await seenByBoth('during')
    await seenByBoth('lost')
    await until(async () => Number(await replica.get(epoch)) > raised, { describe: 'the repair' })
    for (const key of ['before', 'after']) {
      await write(b, key)
      await seenByBoth(key)
    }
    expect(a.cache.stats().pendingInvalidations).to.equal(0)
  })
})
